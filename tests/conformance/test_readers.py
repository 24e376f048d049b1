"""What five readers hear of the same bytes: where one departs from the specification, it is written down here."""

import json
import random

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cryptomarket.stream.encoding import connection_event
from tests.browser.chromium import chromium
from tests.eventsource import parse
from tests.web.site import running_server

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
    """The entries that the reader parses wrongly, whole or byte by byte."""
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


@pytest.mark.system
async def test_where_the_eventsource_of_npm_departs() -> None:
    """The package `eventsource` in node parses the rest as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await departures(by_npm, address)
    assert set(found) == NPM, found


async def test_where_httpx_sse_departs() -> None:
    """httpx-sse parses the rest as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await departures(by_httpx_sse, address)
    assert set(found) == HTTPX_SSE, found


async def test_where_sseclient_departs() -> None:
    """sseclient-py parses the rest as a browser does."""
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


def hostile_texts(count: int = 200) -> list[str]:
    """Texts of what breaks lines, fields, ids and encodings, in any order."""
    pieces = [
        "\r",
        "\n",
        "\r\n",
        "\0",
        "\t",
        " ",
        ":",
        "data: x\n\n",
        "id: 1",
        "\ufeff",
        "\u2028",
        "🪙",
        "é",
        "\x7f",
        "\\",
        '"',
        "",
    ]
    choose = random.Random(8)
    return ["".join(choose.choices(pieces, k=choose.randint(1, 12))) for _ in range(count)]


@pytest.mark.system
async def test_whatever_we_encode_is_heard_as_it_was() -> None:
    """format-newlines, -leading-space, -null-character, -utf-8: a text comes back equal through every reader."""
    texts = hostile_texts()
    stream = b"".join(connection_event(json.dumps(text, ensure_ascii=False)) for text in texts)
    async with replayed([stream]) as address, chromium(address) as window:
        page = await window.open("/healthz")
        for read in (by_chromium(page), by_npm, by_httpx_sse, by_sseclient):
            (heard,) = await read([(f"{address}/bytes/0", ["connection"])])
            assert [json.loads(data) for _, data, _ in heard] == texts


async def test_half_an_event_leaves_no_trace() -> None:
    """format-data-before-final-empty-line: what was cut before its end is not heard, and its id is not sent back."""
    asked: list[str] = []

    async def stream(request: Request) -> Response:
        asked.append(request.headers.get("last-event-id", ""))
        number = len(asked)
        pieces = [f"retry: 50\nid: 7-{number}\nevent: number\ndata: {number}\n\n", "id: 7-9\nevent: number\ndata: 9"]
        return StreamingResponse(iter(pieces), headers={"content-type": "text/event-stream"})

    async def blank(_: Request) -> Response:
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/sse", stream), Route("/healthz", blank), Route("/favicon.ico", blank)])
    async with running_server(app) as address, chromium(address) as window:
        page = await window.open("/healthz")
        heard = await page.evaluate(
            """() => new Promise(done => {
                const heard = [], source = new EventSource('/sse');
                source.addEventListener('number', event => {
                    heard.push([event.data, event.lastEventId]);
                    if (heard.length === 3) { source.close(); done(heard); }
                });
            })"""
        )
    assert heard == [["1", "7-1"], ["2", "7-2"], ["3", "7-3"]]
    assert asked[:3] == ["", "7-1", "7-2"]
