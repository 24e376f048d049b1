"""The rows of `cryptomarket conformance`, and those that need a browser and other people's readers.

The suite of the package reads the stream. Here its bytes are replayed to four other readers, and the connection of a
browser is broken, which must reconnect. The address must not need TLS.
"""

import contextlib
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from playwright.async_api import Page
from playwright.async_api import TimeoutError as TooLong

from cryptomarket.conformance.checks import BLANK_LINE, Finding, StreamText
from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from cryptomarket.conformance.reading import new_client, read
from cryptomarket.conformance.suite import examine as examine_stream
from tests.browser.chromium import chromium
from tests.browser.recording_proxy import RecordingProxy

from .corpus import Dispatched
from .readers import Reader, by_chromium, by_httpx_sse, by_npm, by_sseclient
from .replayed import replayed

__all__ = ["examine"]

LISTEN_SECONDS = 2.0
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


async def examine(address: str) -> list[Finding]:
    """Run all checks on the stream at the address; return the rows that were judged."""
    found = [row async for row in examine_stream(address, LISTEN_SECONDS) if row.holds is not None]
    async with new_client() as client:
        stream = StreamText((await read(client, address, seconds=LISTEN_SECONDS)).body)
    try:
        events = EventSourceParser().receive(stream.bytes)
    except ValueError:  # the suite has reported it
        return found
    parts = urlsplit(address)
    proxy = RecordingProxy(parts.port or 80, parts.hostname or "127.0.0.1")
    async with replayed([stream.bytes]) as copy, proxy.listen() as here, chromium(here) as window:
        window.expected_errors, window.allowed_origins = BROKEN, (copy,)
        await window.context.route("**/blank", lambda route: route.fulfill(body="", content_type="text/html"))
        page = await window.open("/blank")
        found += await reconnects(page, proxy, f"{parts.path}?{parts.query}", sorted({one.event for one in events}))
        await page.goto(f"{copy}/healthz")
        found += await read_alike(page, f"{copy}/whole/0", stream.bytes, events)
    return found


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
    for name, read_all, wanted in readers:
        (received,) = await read_all([(address, names)])
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
