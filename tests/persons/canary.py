"""Finds known secrets in memory, files, Redis and text, in any of many encodings.

Fragments are found as well. Every form of every secret is cut into all its windows of eight bytes, and the data into
aligned words of eight, which one set operation in C compares. A fragment of 15 bytes or more contains a whole word, so
it cannot be missed; the time does not depend on the number of secrets.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote_from_bytes

from redis.asyncio import Redis

__all__ = ["Canary", "Find", "Memory", "forms"]

WORD = 8
#: The shortest fragment of a form that counts as a leak; a shorter match may be chance.
LEAST = 12
#: Bytes searched in one step, and the bytes carried over to the next, more than the longest form.
CHUNK, CARRY = 2**20, 2**12


def forms(secret: bytes) -> dict[str, bytes]:
    """Return the secret in each encoding, by its name."""
    hexed = [f"{byte:02x}" for byte in secret]
    found = {
        "raw": secret,
        "reversed": secret[::-1],
        "hex": "".join(hexed).encode(),
        "HEX": "".join(hexed).upper().encode(),
        "URL": quote_from_bytes(secret, safe="").encode(),
        "URL, every byte": "".join(f"%{byte}" for byte in hexed).encode(),
        "URL, every BYTE": "".join(f"%{byte.upper()}" for byte in hexed).encode(),
        "JSON": json.dumps(secret.decode("latin-1"))[1:-1].encode(),
        "JSON, every byte": "".join(f"\\u00{byte}" for byte in hexed).encode(),
        "JSON, every BYTE": "".join(f"\\u00{byte.upper()}" for byte in hexed).encode(),
        "two bytes a letter": secret.decode("latin-1").encode("utf-16-le"),
        "four bytes a letter": secret.decode("latin-1").encode("utf-32-le"),
    }
    for offset in range(3):
        # Characters at both ends contain bits of the neighbours; only those between depend on the secret alone.
        padded = base64.b64encode(bytes(offset) + secret)
        text = padded[(0, 2, 3)[offset] : (offset + len(secret)) * 8 // 6]
        found[f"base64, offset {offset}"] = text
        found[f"base64url, offset {offset}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return found


@dataclass(frozen=True, slots=True)
class Find:
    """A secret or a fragment of one in a place; ``around`` is the data around it."""

    secret: str
    form: str
    place: str
    offset: int
    length: int
    around: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """One form of one secret, with the window at each of its bytes."""

    secret: str
    name: str
    text: bytes
    least: int
    windows: list[int]

    def may_be_in(self, words: Set[int], within: int) -> bool:
        """Whether enough consecutive windows, including the given one, are words of the data.

        One alone may be chance: a word of a wide form has only two letters.
        """
        needed = max(1, (self.least - WORD + 1) // WORD)
        first = last = within
        while first >= WORD and self.windows[first - WORD] in words:
            first -= WORD
        while last + WORD < len(self.windows) and self.windows[last + WORD] in words:
            last += WORD
        return (last - first) // WORD + 1 >= needed

    def extent(self, data: bytes, at: int, within: int) -> tuple[int, int]:
        """Return start and end of the match in the data around a window."""
        text, start, end = self.text, within, within + WORD
        shift = at - within
        while start > 0 and shift + start > 0 and data[shift + start - 1] == text[start - 1]:
            start -= 1
        while end < len(text) and shift + end < len(data) and data[shift + end] == text[end]:
            end += 1
        return shift + start, shift + end


@dataclass
class Memory:
    """The result of a search of a process: mappings by kind, those that are unreadable, and the finds."""

    mappings: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    size: int = 0
    finds: list[Find] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.mappings.most_common())
        return f"{self.size / 2**20:.0f} MiB of memory in {kinds}; {self.unreadable.total()} unreadable"


class Canary:
    """Searches for the given secrets, each of at least 15 bytes, by name."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._windows: dict[int, list[tuple[_Form, int]]] = {}
        for name, secret in secrets.items():
            assert len(secret) >= 2 * WORD - 1, f"{name} is too short to be found"
            for form, text in forms(secret).items():
                if text == secret and form != "raw":
                    continue
                self._add(name, form, text, least=LEAST * len(text) // len(secret))
        self._words = frozenset(self._windows)

    def _add(self, name: str, form: str, text: bytes, least: int) -> None:
        windows = [int.from_bytes(text[at : at + WORD], "little") for at in range(len(text) - WORD + 1)]
        made = _Form(name, form, text, least, windows)
        for at, window in enumerate(windows):
            self._windows.setdefault(window, []).append((made, at))

    def scan(self, data: bytes, place: str, *, base: int = 0) -> list[Find]:
        """Return every fragment in the data; ``base`` is the offset of the data in its place."""
        data = bytes(data) + bytes(-len(data) % WORD)
        with memoryview(data) as view, view.cast("Q") as words:
            hits = self._words.intersection(words)
        found = {}
        for word in hits:
            likely = [(form, within) for form, within in self._windows[word] if form.may_be_in(hits, within)]
            needle, at = word.to_bytes(WORD, "little"), -1
            while likely and (at := data.find(needle, at + 1)) >= 0:
                for form, within in likely:
                    first, last = form.extent(data, at, within)
                    if last - first >= form.least:
                        around = data[max(0, first - 64) : last + 64]
                        find = Find(form.secret, form.name, place, base + first, last - first, around)
                        found[find.secret, find.offset, find.length] = find
        return sorted(found.values(), key=lambda find: find.offset)

    def scan_pieces(self, pieces: Iterable[bytes], place: str, *, base: int = 0) -> list[Find]:
        """The same over consecutive chunks, whose borders may split a secret."""
        found: dict[tuple[str, str, int], Find] = {}
        carry = b""
        for piece in pieces:
            data = carry + piece
            for find in self.scan(data, place, base=base):
                known = found.get((find.secret, find.form, find.offset))
                if known is None or known.length < find.length:
                    found[find.secret, find.form, find.offset] = find
            carry = data[-min(len(data), CARRY) :]
            base += len(data) - len(carry)
        return list(found.values())

    # Places

    def in_files(self, *paths: Path) -> list[Find]:
        """Search files and folders, including the names of files."""
        found: list[Find] = []
        for path in paths:
            inside = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
            for one in inside:
                found += self.scan(str(one).encode(), f"the name of {one.name}")
                if one.is_file():
                    with one.open("rb") as file:
                        found += self.scan_pieces(_pieces(file, 0, one.stat().st_size), one.name)
        return found

    def in_process(self, pid: int) -> list[Find]:
        """Search the arguments and the environment of a process."""
        found = []
        for name in ("cmdline", "environ"):
            found += self.scan(Path(f"/proc/{pid}/{name}").read_bytes(), name)
        return found

    def in_memory(self, pid: int) -> Memory:
        """Search all readable memory of a live process. Raises PermissionError."""
        memory = Memory()
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            for line in lines:
                extent, rights, _, _, _, name = [*line.split(maxsplit=5), ""][:6]
                kind = name if name.startswith("[") else "file" if name else "anonymous"
                if "r" not in rights:
                    continue
                start, end = (int(part, 16) for part in extent.split("-"))
                try:
                    pieces = _pieces(file, start, end)
                    memory.finds += self.scan_pieces(pieces, f"{kind} {rights} {name}".strip(), base=start)
                except OSError:  # [vvar], or unmapped meanwhile
                    memory.unreadable[kind] += 1
                    continue
                memory.mappings[kind] += 1
                memory.size += end - start
        return memory

    async def in_redis(self, url: str) -> list[Find]:
        """Search the names, values of every type, dumps, and the slow log of Redis."""
        found: list[Find] = []
        async with Redis.from_url(url) as redis:
            async for name in redis.scan_iter(count=1_000):
                found += self.scan(name, "the name of a key")
                for part in await _parts(redis, name):
                    found += self.scan(part, f"the value of {name.decode(errors='replace')}")
                found += self.scan(await redis.dump(name) or b"", f"the dump of {name.decode(errors='replace')}")
            for slow in await redis.slowlog_get(1_000):
                found += self.scan(slow["command"], "the slow log")
        return found


def _pieces(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end:
        piece = file.read(min(CHUNK, end - start))
        if not piece:
            return
        yield piece
        start += len(piece)


async def _parts(redis: Redis, name: bytes) -> list[bytes]:
    """Return all byte strings in a value of any type."""
    reading: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: redis.get(name),
        b"hash": lambda: redis.hgetall(name),
        b"list": lambda: redis.lrange(name, 0, -1),
        b"set": lambda: redis.smembers(name),
        b"zset": lambda: redis.zrange(name, 0, -1),
        b"stream": lambda: redis.xrange(name),
    }
    kind: Any = await redis.type(name)
    return list(_strings(await reading[kind]())) if kind in reading else []  # gone meanwhile: "none"


def _strings(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _strings(pair)
    elif isinstance(value, (list, tuple, set)):
        for one in value:
            yield from _strings(one)
