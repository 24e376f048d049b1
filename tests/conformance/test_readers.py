"""Five readers of the same bytes; their differences from the specification are listed here."""

import json
import random

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cryptomarket.conformance.eventsource import parse
from cryptomarket.stream.encoding import connection_event
from tests.browser.chromium import chromium
from tests.web.site import running_server

from .corpus import CORPUS, Dispatched
from .readers import Reader, by_chromium, by_httpx_sse, by_npm, by_sseclient, curl
from .replayed import replayed

pytestmark = pytest.mark.system

#: An event without an id has no last event id, and a CR at the end of the stream waits for more bytes.
NPM = {"field-id", "field-id-alone", "field-id-null", "price", "newlines-cr"}
#: An event without data is dispatched, and a byte order mark is part of the first field.
HTTPX_SSE = {"field-id-alone", "field-event-alone", "field-retry", "bom"}
#: Ids are not kept, an unfinished last event is dispatched, and only two equal line ends finish an event.
SSECLIENT = {
    "field-id", "field-id-alone", "field-id-null", "price",
    "before-final-empty-line", "before-final-line-end", "newlines-mixed", "bom",
}  # fmt: skip


async def differences(read: Reader, address: str) -> dict[str, list[Dispatched]]:
    """Return the entries that the reader parses wrongly, whole or byte by byte."""
    found = {}
    for way in ("whole", "bytes"):
        received = await read([(f"{address}/{way}/{i}", entry.names) for i, entry in enumerate(CORPUS)])
        for entry, events in zip(CORPUS, received, strict=True):
            if events != entry.events:
                found[entry.name] = events
    return found


async def test_a_browser_follows_the_specification() -> None:
    """Chromium's EventSource parses every entry of the corpus, in one piece and byte by byte."""
    async with replayed([entry.stream for entry in CORPUS]) as address, chromium(address) as window:
        page = await window.open("/healthz")
        assert await differences(by_chromium(page), address) == {}


async def test_the_eventsource_of_npm_has_known_differences() -> None:
    """The npm package `eventsource` parses all other entries as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await differences(by_npm, address)
    assert set(found) == NPM, found


async def test_httpx_sse_has_known_differences() -> None:
    """httpx-sse parses all other entries as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await differences(by_httpx_sse, address)
    assert set(found) == HTTPX_SSE, found


async def test_sseclient_has_known_differences() -> None:
    """sseclient-py parses all other entries as a browser does."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        found = await differences(by_sseclient, address)
    assert set(found) == SSECLIENT, found


async def test_curl_returns_every_byte() -> None:
    """curl returns exactly the bytes that were sent."""
    async with replayed([entry.stream for entry in CORPUS]) as address:
        for i, entry in enumerate(CORPUS[::6]):
            status, _, body = await curl(f"{address}/whole/{i * 6}")
            assert (status, body) == (200, entry.stream), entry.name


def test_the_tests_parser_agrees_with_the_corpus() -> None:
    """The tests' parser agrees with the corpus; it refuses unknown fields on purpose."""
    for entry in CORPUS:
        if entry.name in {"field-unknown", "field-parsing", "bom", "bom-2"}:
            continue
        assert [(one.event, one.data, one.id) for one in parse(entry.stream)] == entry.events, entry.name


def hostile_texts(count: int = 200) -> list[str]:
    """Return texts of random pieces that can break lines, fields, ids and encodings."""
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


async def test_any_encoded_text_is_read_back_equal() -> None:
    """Every reader returns an equal text: format-newlines, -leading-space, -null-character, -utf-8."""
    texts = hostile_texts()
    stream = b"".join(connection_event(json.dumps(text, ensure_ascii=False)) for text in texts)
    async with replayed([stream]) as address, chromium(address) as window:
        page = await window.open("/healthz")
        for read in (by_chromium(page), by_npm, by_httpx_sse, by_sseclient):
            (received,) = await read([(f"{address}/bytes/0", ["connection"])])
            assert [json.loads(data) for _, data, _ in received] == texts


async def test_an_unfinished_event_is_ignored() -> None:
    """format-data-before-final-empty-line: an unfinished event is not dispatched, and its id is not sent."""
    sent_ids: list[str] = []

    async def stream(request: Request) -> Response:
        sent_ids.append(request.headers.get("last-event-id", ""))
        number = len(sent_ids)
        pieces = [f"retry: 50\nid: 7-{number}\nevent: number\ndata: {number}\n\n", "id: 7-9\nevent: number\ndata: 9"]
        return StreamingResponse(iter(pieces), headers={"content-type": "text/event-stream"})

    async def blank(_: Request) -> Response:
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/sse", stream), Route("/healthz", blank), Route("/favicon.ico", blank)])
    async with running_server(app) as address, chromium(address) as window:
        page = await window.open("/healthz")
        received = await page.evaluate(
            """() => new Promise(done => {
                const received = [], source = new EventSource('/sse');
                source.addEventListener('number', event => {
                    received.push([event.data, event.lastEventId]);
                    if (received.length === 3) { source.close(); done(received); }
                });
            })"""
        )
    assert received == [["1", "7-1"], ["2", "7-2"], ["3", "7-3"]]
    assert sent_ids[:3] == ["", "7-1", "7-2"]
