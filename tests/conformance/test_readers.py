"""What five readers hear of the same bytes: where one departs from the specification, it is written down here."""

from tests.browser.chromium import chromium
from tests.eventsource import parse

from .corpus import CORPUS, Heard
from .readers import Reader, by_chromium, by_httpx_sse, by_npm, by_sseclient, curl
from .replayed import replayed

#: No last event id on an event that has none of its own, though it is kept; a CR at the very end waits for more.
NPM = {"field-id", "field-id-alone", "field-id-null", "price", "newlines-cr"}
#: An event without data is heard, where a browser keeps still; a byte order mark is part of the first field.
HTTPX_SSE = {"field-id-alone", "field-event-alone", "field-retry", "bom"}
#: Ids are not kept, an unfinished last event is heard, and an event ends at two line ends of one kind alone.
SSECLIENT = {
    "field-id", "field-id-alone", "field-id-null", "price",
    "before-final-empty-line", "before-final-line-end", "newlines-mixed", "bom",
}  # fmt: skip


async def departures(read: Reader, address: str) -> dict[str, list[Heard]]:
    """The entries of which the reader hears something else than it should, whole or byte by byte."""
    found = {}
    for way in ("whole", "bytes"):
        heard = await read([(f"{address}/{way}/{i}", entry.names) for i, entry in enumerate(CORPUS)])
        for entry, events in zip(CORPUS, heard, strict=True):
            if events != entry.heard:
                found[entry.name] = events
    return found


async def test_a_browser_hears_what_the_specification_says() -> None:
    """Chromium's EventSource, every entry of the corpus, in one piece and in single bytes."""
    async with replayed([entry.stream for entry in CORPUS]) as address, chromium(address) as window:
        page = await window.open("/healthz")
        assert await departures(by_chromium(page), address) == {}


async def test_where_the_eventsource_of_npm_departs() -> None:
    """The package `eventsource` in node hears the rest as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await departures(by_npm, address)
    assert set(found) == NPM, found


async def test_where_httpx_sse_departs() -> None:
    """httpx-sse hears the rest as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await departures(by_httpx_sse, address)
    assert set(found) == HTTPX_SSE, found


async def test_where_sseclient_departs() -> None:
    """sseclient-py hears the rest as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await departures(by_sseclient, address)
    assert set(found) == SSECLIENT, found


async def test_curl_hands_over_every_byte() -> None:
    """Nothing is added, lost or turned into something else on the way."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        for i, entry in enumerate(CORPUS[::6]):
            status, _, body = await curl(f"{address}/whole/{i * 6}")
            assert (status, body) == (200, entry.stream), entry.name


def test_the_reader_of_the_tests_hears_the_same() -> None:
    """Our own parser agrees with the corpus, but for unknown fields, which it refuses on purpose."""
    for entry in CORPUS:
        if entry.name in {"field-unknown", "field-parsing", "bom", "bom-2"}:
            continue
        assert [(one.event, one.data, one.id) for one in parse(entry.stream)] == entry.heard, entry.name
