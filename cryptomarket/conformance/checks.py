"""What must hold of an event stream: plain functions from a reading to rows.

A row names what must hold. It is skipped where the stream has nothing to judge it by.
"""

import contextlib
import functools
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .eventsource import LINE_END, MILLISECONDS, EventSourceParser, MessageEvent
from .reading import StreamReading

__all__ = [
    "Finding",
    "StreamText",
    "body_rows",
    "equal_rows",
    "head_rows",
    "origin_rows",
    "resume_rows",
    "skipped",
    "unknown_channel_rows",
]

#: The longest wait for the head, and for the first bytes after it, in seconds.
SOON_SECONDS = 2.0
#: Proxies end a connection that was silent for longer.
SILENCE_SECONDS = 60.0
LONGEST_RETRY_MS = 10_000
FOREIGN_ORIGIN = "https://elsewhere.example"
FIELDS = {"", "event", "data", "id", "retry"}

#: Not allowed in a header without a preflight: https://fetch.spec.whatwg.org/#cors-unsafe-request-header-byte
UNSAFE = re.compile(r'[\x00-\x08\x0a-\x1f"():<>?@\[\\\]{}\x7f]')
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
#: An id of numbers, such as 7-20519.
NUMBERS = re.compile(r"[0-9]{1,100}(?:[-:.][0-9]{1,100})*")


@dataclass(frozen=True)
class Finding:
    """One row: what must hold, whether it does (None: there was nothing to judge it by), and what was seen."""

    row: str
    holds: bool | None
    seen: str = ""


def skipped(row: str, why: str) -> Finding:
    """Return a row that does not apply."""
    return Finding(row, None, why)


class StreamText:
    """The text of a reading up to its last blank line, in blocks of fields."""

    def __init__(self, body: bytes) -> None:
        self.bytes = body[: max((match.end() for match in BLANK_LINE.finditer(body)), default=0)]
        self.text = self.bytes.decode(errors="replace")
        self.blocks: list[list[tuple[str, str]]] = [[]]
        for line in LINE_END.split(self.text.removeprefix("\ufeff")):
            if line:
                name, _, value = line.partition(":")
                self.blocks[-1].append((name, value.removeprefix(" ")))
            elif self.blocks[-1]:
                self.blocks.append([])
        self.events: list[MessageEvent] = EventSourceParser(strict=False).receive(self.bytes)

    def values(self, name: str) -> list[str]:
        """The values of a field, in order."""
        return [value for block in self.blocks for key, value in block if key == name]

    @functools.cached_property
    def identified(self) -> list[tuple[str, str, str]]:
        """The id, type and data of each event that has an id of its own."""
        found = []
        for block in self.blocks:
            fields = dict(block)  # a field that comes twice counts with its last value
            if fields.get("id") and "\0" not in fields["id"] and "data" in fields:
                data = "\n".join(value for name, value in block if name == "data")
                found.append((fields["id"], fields.get("event", ""), data))
        return found

    @functools.cached_property
    def ids(self) -> list[str]:
        """The ids of these events, in order."""
        return [one for one, _, _ in self.identified]

    @functools.cached_property
    def superseded(self) -> list[str]:
        """The ids of the events after which another one of their type came."""
        newest = {kind: one for one, kind, _ in self.identified}
        return [one for one, kind, _ in self.identified if newest[kind] != one]

    def connection_events(self, kind: str) -> list[dict[str, object]]:
        """The data of the events of the channel `connection` of that kind."""
        found = []
        for event in self.events:
            if event.event == "connection" and event.data.startswith("{"):
                with contextlib.suppress(ValueError, RecursionError):
                    found.append(json.loads(event.data))
        return [data for data in found if data.get("kind") == kind]

    @property
    def gateway_channels(self) -> list[str]:
        """The tickers that came, if this is a stream of a gateway like ours; else none."""
        kinds = {event.event for event in self.events} - {"connection", "message"}
        return sorted(kinds) if self.connection_events("upstream") else []

    @property
    def resume_id(self) -> str:
        """The id to resume from: one from the middle, so that it shows what is sent again; empty without ids."""
        old = self.superseded
        return old[len(old) // 2] if old else "".join(self.ids[-1:])


def head_rows(reading: StreamReading) -> Iterator[Finding]:
    """Check the status and headers: request-status-error, format-mime-*, request-cache-control, and for proxies."""
    kind, cache = reading.header("content-type"), reading.header("cache-control")
    exact = re.fullmatch(r'text/event-stream( *; *charset="?utf-8"?)?', kind, re.IGNORECASE) is not None
    yield Finding("the type is that of an event stream", exact, kind)
    yield Finding("no cache keeps it", "no-store" in cache or "no-cache" in cache, cache)
    yield Finding("no proxy transforms it", "no-transform" in cache, cache)
    buffering = reading.header("x-accel-buffering")
    yield Finding("nginx does not buffer it", buffering == "no", buffering)
    encoding = reading.header("content-encoding")
    yield Finding("it is not compressed", encoding in ("", "identity"), encoding)
    length = reading.header("content-length")
    yield Finding("its length is open", length == "", length)
    yield Finding("the response begins within 2 s", reading.head_seconds <= SOON_SECONDS, _ms(reading.head_seconds))


def body_rows(reading: StreamReading, silence_seconds: float = SILENCE_SECONDS) -> Iterator[Finding]:
    """Check when the bytes come, and the bytes: format-bom, format-utf-8, format-field-*."""
    first = reading.pieces[0][0] if reading.pieces else None
    soon = first is not None and first <= SOON_SECONDS
    yield Finding("the first bytes come within 2 s", soon, "none" if first is None else _ms(first))
    if first is None:
        return
    pause, listened = reading.longest_pause, reading.listened
    row = f"no pause is longer than {silence_seconds:g} s"
    if listened < silence_seconds and not reading.ended:
        yield skipped(row, f"listened for {listened:.0f} s; --seconds {silence_seconds + 1:.0f} checks it")
    else:
        yield Finding(row, pause <= silence_seconds, f"{pause:.1f} s")
    yield Finding("the transfer does not break", not reading.broken, reading.broken)
    stream = StreamText(reading.body)
    yield from _text_rows(reading.body, stream)
    if stream.events:
        yield Finding("an event comes while listening", True, str(len(stream.events)))
    else:
        yield skipped("an event comes while listening", f"none in {listened:.0f} s")
    yield from _block_rows(stream)


def _text_rows(body: bytes, stream: StreamText) -> Iterator[Finding]:
    marked = [line for line in LINE_END.split(stream.text) if line.startswith("\ufeff")]
    yield Finding("there is no byte order mark", not marked, f"{len(marked)} lines" if marked else "")
    try:
        stream.bytes.decode()
        yield Finding("it is UTF-8", True)
    except UnicodeDecodeError as exc:
        yield Finding("it is UTF-8", False, f"byte {exc.object[exc.start]:#04x} at {exc.start}")
    ends = sorted({repr(end) for end in LINE_END.findall(stream.text)})
    # The line ends of two kinds come from data that was not split into lines.
    yield Finding("lines end alike", len(ends) < 2, " ".join(ends))
    names = sorted({name for block in stream.blocks for name, _ in block} - FIELDS)
    unknown = [name for name in names if not name.startswith("\ufeff")]
    yield Finding("a browser knows every field", not unknown, ", ".join(map(repr, unknown[:3])))
    whole, cut = stream.events, _cut(stream.bytes)
    yield Finding("cut anywhere, the bytes are the same events", whole == cut, f"{len(cut)} of {len(whole)}")


def _cut(body: bytes) -> list[MessageEvent]:
    """Parse the bytes in pieces of random sizes."""
    draw, parser, at = random.Random(1), EventSourceParser(strict=False), 0  # noqa: S311 - no secret
    events: list[MessageEvent] = []
    while at < len(body):
        size = draw.choice((1, 2, 3, 50, 2000))
        events += parser.receive(body[at : at + size])
        at += size
    return events


def _block_rows(stream: StreamText) -> Iterator[Finding]:
    merged = _merged(stream)
    yield Finding("a blank line ends each event", not merged, f"{merged} without" if merged else "")
    empty = [block for block in stream.blocks if _count(block, "event") and not _count(block, "data")]
    yield Finding("each named event has data", not empty, f"{len(empty)} without" if empty else "")
    retries = stream.values("retry")
    sane = [one for one in retries if MILLISECONDS.fullmatch(one) and 0 < int(one) <= LONGEST_RETRY_MS]
    seen = repr(retries[0]) if retries else "none"
    yield Finding("it has a reconnection time", bool(retries) and retries == sane, seen)
    ids = stream.values("id")
    if not ids:
        yield skipped("ids can be sent back", "no event has an id")
        yield skipped("ids advance", "no event has an id")
        return
    bad = [one for one in ids if not one or len(one.encode()) > 128 or UNSAFE.search(one)]
    yield Finding("ids can be sent back", not bad, repr(bad[0]) if bad else repr(ids[-1]))
    stuck = [after for before, after in itertools.pairwise(stream.ids) if not _rises(before, after)]
    stuck += [one for one, count in Counter(stream.ids).items() if count > 1]
    yield Finding("ids advance", not stuck, f"{stuck[0]!r} after a later one" if stuck else f"{len(stream.ids)} events")


def _merged(stream: StreamText) -> int:
    """How many blocks hold more than one event."""
    return sum(any(_count(block, name) > 1 for name in ("id", "event")) for block in stream.blocks)


def _count(block: list[tuple[str, str]], name: str) -> int:
    return sum(key == name for key, _ in block)


def _rises(before: str, after: str) -> bool:
    """Whether an id may follow another one: ids of numbers rise, others differ."""
    if not (NUMBERS.fullmatch(before) and NUMBERS.fullmatch(after)):
        return before != after
    return _numbers(before) < _numbers(after)


def _numbers(text: str) -> list[int]:
    return [int(one) for one in re.findall("[0-9]+", text)]


def origin_rows(reading: StreamReading) -> Iterator[Finding]:
    """Check eventsource-cross-origin, on the answer to a page of another origin."""
    allowed = [value for name, value in reading.headers if name == "access-control-allow-origin"]
    credentials = reading.header("access-control-allow-credentials") == "true"
    careless = credentials and any(value in ("*", FOREIGN_ORIGIN) for value in allowed)
    seen = ", ".join(allowed) or "none"
    yield Finding("credentials are not allowed for any origin", not careless, seen)
    formed = len(allowed) < 2 and all(re.fullmatch(r"\*|null|[a-z]+://[^/,\s]+", value) for value in allowed)
    varies = allowed in ([], ["*"]) or "origin" in reading.header("vary").lower()
    yield Finding("the allowed origin is one, and caches keep it apart", formed and varies, seen)


def resume_rows(first: StreamReading, again: StreamReading) -> Iterator[Finding]:
    """Check the answer to `Last-Event-ID`: request-last-event-id."""
    yield Finding("a resume is answered with a stream", again.is_like(first), f"{again.status}")
    stream, received = StreamText(first.body), StreamText(again.body).ids
    at = stream.ids.index(stream.resume_id)
    old = set(stream.superseded)
    # The newest value of a type may come again: a server need not keep events to be right.
    known = old.intersection(stream.ids[: at + 1])
    repeated = [one for one in received if one in known]
    yield Finding("a resume repeats no event", not repeated, f"{repeated[0]!r} again" if repeated else "")
    row, due = "a resume sends all that was missed", stream.ids[at + 1 :]
    if old.isdisjoint(received):
        yield skipped(row, "the newest values only")
        return
    sent = set(received)
    missing = [one for one in due if one not in sent]
    yield Finding(row, not missing, f"without {missing[0]!r}" if missing else f"{len(due)} events")


def unknown_channel_rows(row: str, first: StreamReading, found: StreamReading, unknown: str) -> Iterator[Finding]:
    """Check that a stream with an unknown channel beside a known one opens, and has a gap event that refuses it."""
    if not found.is_like(first):
        yield Finding(row, False, str(found.status))
        return
    gaps = StreamText(found.body).connection_events("gap")
    refused = any(gap.get("ticker") == unknown and gap.get("reason") == "refused" for gap in gaps)
    yield Finding(row, refused, "a gap refuses it" if refused else "no gap refuses it")


def equal_rows(first: StreamReading, readings: list[StreamReading]) -> Iterator[Finding]:
    """Check that readers at the same time are sent the same events under the same ids."""
    refused = [str(one.status) for one in readings if not one.is_like(first)]
    yield Finding("several readers are served at once", not refused, ", ".join(refused) or str(len(readings)))
    streams = [StreamText(reading.body) for reading in readings]
    if any(map(_merged, streams)):  # who joins within such a block gets only the rest of it
        yield skipped("several readers get equal events", "no blank line ends some event")
        return
    found = [_once(stream) for stream in streams]
    shared = set.intersection(*(set(one) for one in found))
    if not shared:
        yield skipped("several readers get equal events", "no id was sent to all")
        return
    unequal = sorted(one for one in shared if any(events[one] != found[0][one] for events in found))
    seen = f"id {unequal[0]!r} differs" if unequal else f"{len(shared)} events"
    yield Finding("several readers get equal events", not unequal, seen)


def _once(stream: StreamText) -> dict[str, tuple[str, str]]:
    """The type and data of each id that came once."""
    count = Counter(stream.ids)
    return {one: (kind, data) for one, kind, data in stream.identified if count[one] == 1}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
