"""The scanner finds planted secrets in every form and place, and nothing else."""

import base64
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.redis_server import running_redis

from .canary import CARRY, CHUNK, Canary, forms

SECRET = b"qL7/xZ+93-canary_Vb%2&pT~8wK"
OTHER = b"9sD+f/0aJ-another.one_Gh4!mNc"
CANARY = Canary({"one": SECRET, "other": OTHER})


def noise(size: int) -> bytes:
    """Random bytes, the same in every run."""
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("form", forms(SECRET))
@pytest.mark.parametrize("before", range(9))
def test_every_form_is_found_wherever_it_begins(form: str, before: int) -> None:
    """It is found in random bytes at every offset to a word, with its place and length."""
    text = forms(SECRET)[form]
    data = noise(1_000 + before) + text + noise(997)
    found = CANARY.scan(data, "here")
    assert ("one", 1_000 + before, len(text)) in {(find.secret, find.offset, find.length) for find in found}
    assert text in found[0].around


@pytest.mark.parametrize("name", ["base64", "urlsafe_b64"])
@pytest.mark.parametrize("offset", range(3))
def test_base64_of_a_larger_text_is_found(name: str, offset: int) -> None:
    """A secret inside a longer text is found when the whole text was encoded, as in an Authorization header."""
    encode = base64.b64encode if name == "base64" else base64.urlsafe_b64encode
    assert CANARY.scan(encode(b"x" * offset + b"id:" + SECRET + b"tail"), "here")


def test_a_fragment_is_found() -> None:
    """Half of a secret is found; a few letters of it are not."""
    found = CANARY.scan(noise(77) + SECRET[5:20] + noise(77), "here")
    assert [(find.secret, find.offset, find.length) for find in found] == [("one", 77, 15)]
    assert CANARY.scan(noise(77) + SECRET[5:15] + noise(77), "here") == []


def test_nothing_is_found_in_nothing() -> None:
    """Random bytes, text and the forms of another secret are not reported."""
    assert CANARY.scan(noise(1_000_000), "here") == []
    assert CANARY.scan(b"\\u0041\\u0042%41%42 the quick brown fox " * 1_000, "here") == []
    assert CANARY.scan(b"".join(forms(b"zz9-quite-a-different-one-QQ").values()), "here") == []
    assert CANARY.scan(b"", "here") == []


def test_what_lies_across_two_pieces_is_found_once() -> None:
    """It is found once and whole at any border, also in chunks smaller than itself."""
    for cut in range(1, len(SECRET)):
        pieces = [noise(CARRY + 5) + SECRET[:cut], SECRET[cut:] + noise(CARRY + 3)]
        whole = [find for find in CANARY.scan_pieces(pieces, "here") if find.length == len(SECRET)]
        assert [(find.offset, find.form) for find in whole] == [(CARRY + 5, "raw")]
    crumbs = [bytes([byte]) for byte in noise(50) + SECRET + noise(50)]
    assert any(find.length == len(SECRET) for find in CANARY.scan_pieces(crumbs, "here"))


def test_files_of_a_folder_are_searched(tmp_path: Path) -> None:
    """A secret is found in files, in subfolders and in names of files."""
    for name in ("x.db", "x.db-wal", "x.db-shm", "deep/down.tmp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise(10_000))
    assert CANARY.in_files(tmp_path) == []
    (tmp_path / "x.db-wal").write_bytes(noise(CHUNK - 10) + OTHER)
    (tmp_path / "deep" / "down.tmp").write_bytes(forms(SECRET)["HEX"])
    assert {find.place for find in CANARY.in_files(tmp_path)} == {"x.db-wal", "down.tmp"}
    (tmp_path / OTHER.decode().replace("/", "%2F")).touch()
    assert any(find.place.startswith("the name of") for find in CANARY.in_files(tmp_path))


async def test_redis_is_searched(tmp_path: Path) -> None:
    """A secret in a value of any type, a name or the slow log is found, and none before it is written."""
    async with running_redis(tmp_path) as server, Redis.from_url(server.url) as redis:
        await redis.config_set("slowlog-log-slower-than", 0)
        await redis.set("plain", noise(500))
        await redis.hset("table", "field", noise(500).hex())
        assert await CANARY.in_redis(server.url) == []
        await redis.set("string", b"x" + SECRET)
        await redis.hset("hash", "field", OTHER)
        await redis.rpush("list", SECRET.hex())
        await redis.sadd("set", OTHER[::-1])
        await redis.zadd("zset", {SECRET: 1.0})
        await redis.xadd("stream", {"field": OTHER})
        await redis.set(SECRET, "in the name")
        places = {find.place for find in await CANARY.in_redis(server.url)}
        kinds = ("string", "hash", "list", "set", "zset", "stream")
        assert {f"the value of {kind}" for kind in kinds} <= places
        assert {"the name of a key", "the slow log", "the dump of string"} <= places


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a secret in its memory that it received in two halves."""
    code = (
        "import sys\nhalves = sys.stdin.readline().split()\nkept = bytes.fromhex(halves[0] + halves[1])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\ndel kept\nprint('on', flush=True)\nsys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_the_memory_of_a_live_process_is_searched(sleeper: subprocess.Popen[bytes]) -> None:
    """Its secret is found with the mapping that contains it; another secret is not."""
    assert sleeper.stdin is not None
    assert sleeper.stdout is not None
    sleeper.stdin.write(f"{SECRET[:14].hex()} {SECRET[14:].hex()}\n".encode())
    sleeper.stdin.flush()
    assert sleeper.stdout.readline() == b"ready\n"
    try:
        memory = CANARY.in_memory(sleeper.pid)
    except PermissionError:
        pytest.skip("the memory of other processes cannot be read here")
    raw = [find for find in memory.finds if find.form == "raw" and find.length == len(SECRET)]
    assert raw
    assert {find.secret for find in memory.finds} == {"one"}
    assert memory.mappings["anonymous"] > 0
    assert memory.mappings["file"] > 0
    assert memory.size > 2**20


def test_arguments_and_environment_are_searched() -> None:
    """A secret in the arguments or the environment of a process is found."""
    sleep = [sys.executable, "-c", "print(1, flush=True); input()", SECRET.decode()]
    pipe = subprocess.PIPE
    with subprocess.Popen(sleep, stdin=pipe, stdout=pipe, env={"KEY": OTHER.decode()}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        places = {(find.place, find.secret) for find in CANARY.in_process(process.pid)}
        process.kill()
    assert places == {("cmdline", "one"), ("environ", "other")}
