"""The threats to persons, by their number: each attack fails, and succeeds once its defence is taken away.

An attack gives what it got, nothing if it failed. The defence is taken away by the test, there is no switch for it.
What is proved by tests elsewhere is listed with their names, so that none of them goes missing.
"""

import ast
import base64
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet, InvalidToken
from starlette.requests import Request

from cryptomarket import logs
from cryptomarket.errors import NotLoggedIn
from cryptomarket.persons import credential_middleware as intake
from cryptomarket.persons import front as fronts
from cryptomarket.persons import vault
from cryptomarket.persons.browser_sessions import LIFE_SECONDS, PERSON, BrowserSessions
from cryptomarket.persons.front import COOKIE, Front
from cryptomarket.persons.leader_worker import LeaderWorker
from cryptomarket.persons.limits import Limits
from cryptomarket.persons.vault import Vault, fingerprint

from .canary import Canary
from .test_credential_middleware import SECRET, Counter, body
from .test_leader_worker import World

CANARY = Canary({"secret": SECRET.encode()})
EVIL = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
MINE = "c" * 43


def request(**headers: str) -> Request:
    """A request with the headers, as a server hands it over."""
    given = {"host": "here.example", **headers}
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": listed})


@contextlib.contextmanager
def front_of(world: World) -> Iterator[Front]:
    """The counter of a node over the same cache."""

    async def nobody(body: bytes, *, seconds: float) -> bytes:
        raise AssertionError("nothing is asked of the leader here")

    front = Front(world.cache, world.vault, world.sessions, ask=nobody, publish=world.news.append)
    with front._send, front._receive:
        yield front


def values(cache: Any) -> list[bytes]:
    """Everything in the cache, as its reader sees it."""
    return [value for value, _ in cache._values.values()]


# The attacks


async def read_the_cache() -> object:
    """1: a dump of the cache while a log-in waits in it."""
    counter = Counter()
    await counter.post(body())
    return CANARY.scan(b" ".join(values(counter.cache)), "the cache")


async def read_the_log() -> object:
    """2: a line of the log that was given a secret by mistake."""
    line = logs._without_secrets(None, "info", {"event": "x", "client_secret": SECRET})
    return CANARY.scan(json.dumps(dict(line)).encode(), "the log")


async def read_the_memory() -> object:
    """3: what the server read, after the log-in was taken."""
    piece = bytes(bytearray(body()))
    await Counter().post(piece)
    return CANARY.scan(piece, "memory")


async def open_with_what_lies_beside() -> object:
    """4: a value of the cache that decrypts another one."""
    counter = Counter()
    await counter.post(body())
    held = values(counter.cache)
    keys = {key for value in held for key in re.findall(rb"[A-Za-z0-9_-]{43}=", _bare(value))}
    return [value for key in keys for value in held if _opens(key, value)]


def _bare(value: bytes) -> bytes:
    return value + b" " + b" ".join(_texts(value))


def _texts(value: bytes) -> list[bytes]:
    try:
        found = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return []
    texts = []
    for one in found if isinstance(found, list) else []:
        try:
            texts.append(base64.b64decode(one))
        except ValueError:
            continue
    return texts


def _opens(key: bytes, value: bytes) -> bool:
    try:
        return bool(Fernet(key).decrypt(value))
    except (InvalidToken, ValueError):
        return False


async def take_a_session_from_the_cache() -> object:
    """5: the name of a session, read in the cache, as one's own cookie."""
    world = World()
    await world.log_in(session=fingerprint(MINE))
    names = [name.removeprefix("deribit:session:") async for name in world.cache.names("deribit:session:")]
    with front_of(world) as front, contextlib.suppress(NotLoggedIn):
        return await front.person(request(cookie=f"{COOKIE}={names[0][:43]}"))
    return None


async def act_without_a_token() -> object:
    """6: a private call that carries no token of its person, so that the connection's last login answers."""
    world = World()
    await world.log_in()
    await world.account()
    asked = [params for method, params in world.exchange.calls if method.startswith("private/")]
    assert asked
    return [params for params in asked if not params.get("access_token")]


async def answer_with_another_person() -> object:
    """7: the cache gives the record of somebody else."""
    world = World()
    await world.log_in()
    world.exchange.person_id = 8
    await world.log_in("s2", "l2")
    (other,) = await world.cache.get(PERSON % "8")
    assert other is not None
    await world.cache.put(PERSON % "7", other, 60)
    return await world.sessions.person("7")


async def log_in_from_another_site() -> object:
    """8: a page of another site logs the browser in."""
    status, _, _ = await Counter().post(body(), **EVIL)
    return status == 202


async def listen_from_another_site() -> object:
    """9: a page of another site opens a stream with the person's cookie."""
    with front_of(World()) as front:
        return front.browser(request(cookie=f"{COOKIE}={MINE}", **EVIL))[0]


async def flood() -> object:
    """15: more log-ins from one address than it may try."""
    counter = Counter(per_minute=3)
    taken = [(await counter.post(body(f"key{number}")))[0] == 202 for number in range(12)]
    return sum(taken) > 6  # a minute may end in between


async def guess_on() -> object:
    """16: the next guess after some wrong ones."""
    limits = Limits(Counter().cache, per_minute=1_000)
    for _ in range(8):
        await limits.failed("who")
    return await limits.of_key("who") == 0


async def send_a_form() -> object:
    """19: what a form of another site may send without being asked."""
    status, _, _ = await Counter().post(body(), **{"content-type": "text/plain"})
    return status == 202


async def come_back_too_late() -> object:
    """28: a login whose tokens have ended, in a cache that forgot to forget."""
    world = World()
    await world.log_in()
    world.clock.now += LIFE_SECONDS + 1
    return (await world.sessions.of_sessions(["s1"]))[0]


# The defences


def _beside(self: Vault, secret: bytearray) -> tuple[bytes, bytes]:
    key = Fernet.generate_key()
    return Fernet(key).encrypt(bytes(secret)), key


async def _without_token(self: LeaderWorker, person: Any) -> Any:
    raw = await self._call("private/get_account_summaries", {})
    return msgspec.json.decode(raw)["summaries"] and []


def _open_any(self: Vault, name: str, record: bytes) -> bytes:
    wrapped = msgspec.json.decode(record, type=vault._Wrapped)
    inner = Fernet(self._open(wrapped.key)).decrypt(wrapped.sealed)
    return msgspec.json.decode(inner, type=vault._Named).data


async def _never(*_: object) -> float:
    return 0.0


@dataclass(frozen=True)
class Threat:
    """A row of the threat table: the attack, and what is put in place of the defence: object, name, value."""

    number: int
    attack: Callable[[], Awaitable[object]]
    without: tuple[tuple[object, str, object], ...]


THREATS = [
    Threat(1, read_the_cache, ((Vault, "close_secret", lambda self, secret: (bytes(secret), b"key")),)),
    Threat(2, read_the_log, ((logs, "_SECRET_WORDS", ()),)),
    Threat(3, read_the_memory, ((intake, "_overwrite", lambda piece: None),)),
    Threat(
        4,
        open_with_what_lies_beside,
        ((Vault, "close_secret", _beside), (Vault, "seal", lambda self, name, data: data)),
    ),
    Threat(5, take_a_session_from_the_cache, ((fronts, "fingerprint", lambda cookie: cookie),)),
    Threat(6, act_without_a_token, ((LeaderWorker, "_summaries", _without_token),)),
    Threat(7, answer_with_another_person, ((Vault, "open", _open_any),)),
    Threat(8, log_in_from_another_site, ((intake, "same_site", lambda headers: True),)),
    Threat(9, listen_from_another_site, ((fronts, "same_site", lambda headers: True),)),
    Threat(15, flood, ((Limits, "of_address", _never),)),
    Threat(16, guess_on, ((Limits, "of_key", _never),)),
    Threat(19, send_a_form, ((intake, "_check_head", lambda request: None),)),
    Threat(28, come_back_too_late, ((BrowserSessions, "_agreed", lambda self, session, person: person),)),
]

#: The tests that hold a row of the table beside the above.
ELSEWHERE = {
    1: "persons/test_canary_run.py::test_threat_01_02_03_no_secret_is_anywhere",
    2: "persons/test_intake.py::test_a_wrong_shape_is_refused_without_an_echo",
    3: "persons/test_vault.py::test_fernet_never_sees_the_secret",
    4: "persons/test_vault.py::test_a_secret_comes_back_from_its_two_halves",
    5: "persons/test_login.py::test_two_persons_never_see_each_other",
    6: "deribit/test_calls.py::test_a_call_that_would_act_for_everybody_is_refused_at_once",
    7: "persons/test_cache.py::test_a_hung_redis_is_bounded",
    8: "persons/test_intake.py::test_a_wrong_head_is_refused_unread",
    9: "stream/test_endpoint.py::test_only_allowed_origins_may_read",
    10: "persons/test_threats.py::test_threat_10_a_token_in_an_address_opens_nothing",
    11: "stream/test_event.py::test_no_text_forges_a_field",
    12: "web/test_app.py::test_a_page_carries_a_policy_without_inline_anything",
    13: "stream/test_raw_input.py::test_a_dripping_body_is_cut_off",
    14: "stream/test_endpoint.py::test_overload_is_answered_with_200_a_long_retry_and_the_end",
    15: "persons/test_intake.py::test_too_many_from_one_address_wait",
    16: "persons/test_login.py::test_a_wrong_secret_and_an_unknown_key_read_alike",
    17: "persons/test_intake.py::test_strange_paths_never_reach_past_the_intake",
    18: "persons/test_intake.py::test_other_methods_are_not_taken",
    19: "persons/test_intake.py::test_a_wrong_head_is_refused_unread",
    20: "deribit/test_faults.py::test_fault_3_a_redirect_is_not_followed",
    21: "persons/test_threats.py::test_threat_21_nobody_chooses_what_is_asked_upstream",
    22: "deribit/test_fuzz.py::test_mutated_frames_crash_nothing_and_forge_no_price",
    23: "persons/test_vault.py::test_a_broken_record_is_refused",
    24: "test_logs.py::test_a_json_line_parses_and_cannot_be_forged",
    25: "test_trusted_proxies.py::test_only_a_named_proxy_speaks_for_a_browser",
    26: "test_packaging.py::test_every_locked_package_has_hashes",
    27: "test_image.py::test_the_image_does_not_run_as_root",
    28: "persons/test_service.py::test_a_revoked_token_ends_the_login_at_the_next_call",
}


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: f"{threat.number:02}-{threat.attack.__name__}")
async def test_threat_is_answered(threat: Threat) -> None:
    """The attack gets nothing."""
    assert not await threat.attack()


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: f"{threat.number:02}-{threat.attack.__name__}")
async def test_threat_is_real_without_its_defence(threat: Threat, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the defence taken away the same attack gets what it wants: the test above can fail."""
    for place, name, instead in threat.without:
        monkeypatch.setattr(place, name, instead)
    assert await threat.attack()


async def test_threat_10_a_token_in_an_address_opens_nothing() -> None:
    """The token that opens everything in a header opens nothing in the address."""
    world = World()
    await world.log_in(session=fingerprint(MINE))
    claims = msgspec.json.encode(["7", fingerprint(MINE), "l1"])
    token = world.vault.token(claims)
    with front_of(world) as front:
        assert (await front.person(request(authorization=f"Bearer {token}"))).person_id == "7"
        asked = request()
        for name in ("token", "access_token", "authorization", COOKIE):
            asked.scope["query_string"] = f"{name}={token}".encode()
            with pytest.raises(NotLoggedIn):
                await front.person(asked)


async def test_threat_21_nobody_chooses_what_is_asked_upstream() -> None:
    """Whatever an errand says, upstream is asked for nothing but the balances of a person who is logged in."""
    world = World()
    await world.log_in()
    before = len(world.exchange.calls)
    for kind in ("private/logout", "private/buy", "public/auth", "", "account"):
        for person_id in ("7", "8", "*", "7?x=1"):
            request = {"kind": kind, "person_id": person_id, "method": "private/buy", "access_token": "mine"}
            await world.service.handle(msgspec.json.encode(request))
    asked = {method for method, _ in world.exchange.calls[before:]}
    assert asked == {"private/get_account_summaries"}


def test_every_threat_has_its_test() -> None:
    """All 28 rows of the table name a test that exists."""
    assert sorted(ELSEWHERE) == list(range(1, 29))
    tests = Path(__file__).parents[1]
    for number, node in ELSEWHERE.items():
        file, _, name = node.partition("::")
        tree = ast.parse((tests / file).read_text())
        functions = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in functions, f"threat {number}: {node}"
