"""Checks the event stream of any server against the specification and against browsers.

    python -m tests.conformance.examine http://127.0.0.1:8000/sse/?timer=1

It reads the stream with curl, checks the bytes for what a server can do wrong, replays them to four other readers, and
breaks the connection of a browser, which must reconnect. The address must not need TLS.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
from playwright.async_api import Page
from playwright.async_api import TimeoutError as TooLong

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from tests.browser.chromium import chromium
from tests.browser.recording_proxy import RecordingProxy

from .corpus import Dispatched
from .readers import Reader, by_chromium, by_httpx_sse, by_npm, by_sseclient, curl
from .replayed import replayed

__all__ = ["Finding", "examine"]

LISTEN_SECONDS = 2.0
LONGEST_RETRY_MS = 10_000
#: Not allowed in a header without a preflight: https://fetch.spec.whatwg.org/#cors-unsafe-request-header-byte
UNSAFE = re.compile(r'[\x00-\x08\x0a-\x1f"():<>?@\[\\\]{}\x7f]')
BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
FIELDS = {"", "event", "data", "id", "retry"}
BROKEN = ("ERR_", "Failed to load")

LISTEN = """
    ([address, names]) => {
        const received = {opens: [], errors: [], last: ''};
        const source = new EventSource(address);
        source.onopen = () => received.opens.push(performance.now());
        source.onerror = () =>
            received.errors.push({at: performance.now(), ready: source.readyState, last: received.last});
        for (const name of names) source.addEventListener(name, event => { received.last = event.lastEventId; });
        globalThis.received = received;
    }
"""


@dataclass(frozen=True)
class Finding:
    """One row: the check, whether it passed, and what was found instead."""

    row: str
    holds: bool
    seen: str = ""


async def examine(address: str) -> list[Finding]:
    """Run all checks on the stream at the address; return their rows."""
    status, headers, body = await curl(address, "--header", "Accept: text/event-stream", seconds=LISTEN_SECONDS)
    whole = body[: max((match.end() for match in BLANK_LINE.finditer(body)), default=0)]
    found = [*head(status, headers), *content(whole)]
    try:
        events = EventSourceParser().receive(whole)
    except ValueError:  # content() has reported it
        return found
    _, foreign, _ = await curl(address, "--header", "Origin: https://elsewhere.example", seconds=0.5)
    found.append(origin(foreign))
    parts = urlsplit(address)
    proxy = RecordingProxy(parts.port or 80, parts.hostname or "127.0.0.1")
    async with replayed([whole]) as copy, proxy.listen() as here, chromium(here) as window:
        window.expected_errors, window.allowed_origins = BROKEN, (copy,)
        await window.context.route("**/blank", lambda route: route.fulfill(body="", content_type="text/html"))
        page = await window.open("/blank")
        found += await reconnects(page, proxy, f"{parts.path}?{parts.query}", sorted({one.event for one in events}))
        await page.goto(f"{copy}/healthz")
        found += await read_alike(page, f"{copy}/whole/0", whole, events)
    return found


def head(status: int, headers: dict[str, str]) -> Iterator[Finding]:
    """Check the status and headers: request-status-error, format-mime-*, request-cache-control, and for proxies."""
    yield Finding("the status is 200", status == 200, str(status))
    kind = headers.get("content-type", "")
    exact = re.fullmatch(r"text/event-stream(; ?charset=utf-8)?", kind, re.IGNORECASE) is not None
    yield Finding("the type is that of an event stream", exact, kind)
    cache = headers.get("cache-control", "")
    yield Finding("no cache keeps it", "no-store" in cache or "no-cache" in cache, cache)
    yield Finding("no proxy transforms it", "no-transform" in cache, cache)
    buffering = headers.get("x-accel-buffering", "")
    yield Finding("nginx does not buffer it", buffering == "no", buffering)
    yield Finding("it is not compressed", headers.get("content-encoding", "identity") == "identity")


def content(body: bytes) -> Iterator[Finding]:
    """Check the bytes: format-bom, format-utf-8, format-field-*."""
    yield Finding("there is no byte order mark", not body.startswith(b"\xef\xbb\xbf"))
    try:
        text, fine = body.decode(), True
    except UnicodeDecodeError:
        text, fine = body.decode(errors="replace"), False
    yield Finding("it is UTF-8", fine)
    lines = [line.partition(":") for line in re.split("\r\n|\n|\r", text) if line]
    unknown = sorted({name for name, _, _ in lines} - FIELDS)
    yield Finding("a browser knows every field", not unknown, ", ".join(unknown))
    yield Finding("an event comes at once", any(name == "data" for name, _, _ in lines))
    values = {name: [value.removeprefix(" ") for one, _, value in lines if one == name] for name in ("id", "retry")}
    bad = [one for one in values["id"] if not one or len(one.encode()) > 128 or UNSAFE.search(one)]
    yield Finding("ids can be sent back", not bad, repr(bad[:1]))
    retries = values["retry"]
    within = [one for one in retries if re.fullmatch("[0-9]+", one) and 0 < int(one) <= LONGEST_RETRY_MS]
    yield Finding("it has a reconnection time", bool(retries) and retries == within, repr(retries[:1]))


def origin(headers: dict[str, str]) -> Finding:
    """Check eventsource-cross-origin: credentials are not allowed for any origin."""
    open_to_all = headers.get("access-control-allow-origin") in ("*", "https://elsewhere.example")
    careless = open_to_all and headers.get("access-control-allow-credentials") == "true"
    return Finding("credentials are not allowed for any origin", not careless)


async def read_alike(page: Page, address: str, stream: bytes, events: list[MessageEvent]) -> list[Finding]:
    """Check that four readers parse the same events from the bytes."""
    expected: list[Dispatched] = [(event.event, event.data, event.id) for event in events]
    own: list[Dispatched] = []
    for start, end in blocks(stream):
        own += [(event.event, event.data, event.id) for event in EventSourceParser().receive(stream[start:end])]
    readers: list[tuple[str, Reader, list[Dispatched]]] = [
        ("Chromium", by_chromium(page), expected),
        ("httpx-sse", by_httpx_sse, expected),
        ("eventsource of npm", by_npm, own),  # these two have no id on events without one
        ("sseclient-py", by_sseclient, own),
    ]
    names, found = sorted({event for event, _, _ in expected}), []
    for name, read, wanted in readers:
        (received,) = await read([(address, names)])
        seen = "" if received == wanted else f"{len(received)} events, {len(wanted)} sent"
        found.append(Finding(f"{name} reads all events", received == wanted, seen))
    return found


def blocks(stream: bytes) -> Iterator[tuple[int, int]]:
    """Return the start and end of each event."""
    start = 0
    for match in BLANK_LINE.finditer(stream):
        yield start, match.end()
        start = match.end()


async def reconnects(page: Page, proxy: RecordingProxy, path: str, names: list[str]) -> list[Finding]:
    """Check eventsource-reconnect: the connection of a browser breaks."""
    page.set_default_timeout(60_000)
    await page.evaluate(LISTEN, [path, names])
    with contextlib.suppress(TooLong):  # the stream may have no ids
        await page.wait_for_function("received.opens.length && received.last", timeout=5_000)
    before = len(proxy.requests)
    proxy.disconnect()
    await page.wait_for_function("received.errors.length")
    failed = await page.evaluate("received.errors[0]")
    await page.wait_for_function("received.opens.length > 1")
    pause = await page.evaluate("received.opens[1] - received.errors[0].at")
    retry = proxy.retries[0] if proxy.retries else 0
    sent = re.findall(r"^last-event-id: (.*?)\r?$", "".join(proxy.requests[before:]), re.IGNORECASE | re.MULTILINE)
    return [
        Finding("the browser reconnects after a broken connection", failed["ready"] == 0),
        Finding("the browser waits for the reconnection time", pause >= 0.9 * retry, f"{pause:.0f} ms, not {retry}"),
        Finding(
            "the browser sends its last event id",
            sent[:1] == [failed["last"]],
            f"{sent[:1]}, received {failed['last']!r}",
        ),
    ]


async def main(address: str) -> int:
    """Print the table; return 1 if a check failed."""
    found = await examine(address)
    for finding in found:
        print("pass" if finding.holds else "FAIL", finding.row, "" if finding.holds else f"({finding.seen})")
    return int(not all(finding.holds for finding in found))


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1]))
