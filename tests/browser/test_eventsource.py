"""The stream in a browser's own EventSource: the cases of web-platform-tests that a server can break."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page
from starlette.responses import PlainTextResponse

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from tests.web.site import Site, running_server, running_site

from .chromium import chromium
from .recording_proxy import RecordingProxy

pytestmark = pytest.mark.system

#: Opens an EventSource and keeps each event with its time.
LISTEN = """
    ([address, names]) => {
        const received = [];
        const source = new EventSource(address);
        const note = kind => received.push({kind, ready: source.readyState, at: performance.now()});
        source.onopen = () => note('open');
        source.onerror = () => note('error');
        source.onmessage = () => note('unnamed');
        for (const name of names) source.addEventListener(name, event =>
            received.push({kind: name, data: event.data, id: event.lastEventId, at: performance.now()}));
        Object.assign(globalThis, {received, source});
    }
"""
NAMES = ["btc_usd", "eth_usd", "connection"]
BROKEN = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")


@pytest.fixture(params=["httptools", HandoverProtocol], ids=["asgi", "socket"])
def http(request: pytest.FixtureRequest) -> Any:
    """The two ways to serve a stream."""
    return request.param


async def listen(page: Page, address: str = "/sse/?timer=0") -> None:
    """Open an EventSource in the page."""
    await page.evaluate(LISTEN, [address, NAMES])


async def received(page: Page, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait for so many events of a kind, and return all of that kind."""
    script = "([kind, count]) => received.filter(event => event.kind === kind).length >= count"
    await page.wait_for_function(script, arg=[kind, count])
    found: list[dict[str, Any]] = await page.evaluate("kind => received.filter(event => event.kind === kind)", kind)
    return found


def publish(site: Site, *prices: int) -> None:
    """Publish ticks of btc_usd at these prices."""
    for price in prices:
        site.tick("btc_usd", f"{price}.10", ms=1_763_640_000_000 + price)


def prices_of(events: list[dict[str, Any]]) -> list[int]:
    """The prices in the events, without their decimals."""
    return [int(event["data"].split('"price":')[1].split(".")[0]) for event in events]


async def test_a_tick_has_its_type_data_and_id(tmp_path: Path, http: Any) -> None:
    """format-field-event, -data, -id: a tick is one event with its ticker as type, its exact JSON, and its own id."""
    async with running_site(tmp_path, live=True, http=http) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        await received(page, "connection")
        publish(site, 1, 2, 3)
        events = await received(page, "btc_usd", 3)
        sent = site.latest.tick("btc_usd")
        assert sent is not None
        assert prices_of(events) == [1, 2, 3]
        assert events[-1]["data"] == sent.json()
        assert [event["id"] for event in events] == [f"{site.bus.epoch}-{n}" for n in (1, 2, 3)]
        assert await page.evaluate("received.filter(event => event.kind === 'unnamed')") == []


async def test_an_event_without_id_keeps_the_last_one(tmp_path: Path) -> None:
    """format-field-id-2: a connection event has no id and keeps the last one."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        states = await received(page, "connection")
        assert states[0]["id"] == ""
        publish(site, 1)
        await received(page, "btc_usd")
        await listen(page, "/sse/?timer=0")
        assert (await received(page, "connection"))[0]["id"] == f"{site.bus.epoch}-1"


async def test_the_content_type_is_text_event_stream(tmp_path: Path) -> None:
    """format-mime-*: a browser accepts nothing else, except for parameters."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        kind = await page.evaluate(
            "fetch('/sse/').then(answer => (answer.body.cancel(), answer.headers.get('content-type')))"
        )
        assert kind in ("text/event-stream", "text/event-stream; charset=utf-8")


async def test_a_reconnect_neither_loses_nor_repeats_a_tick(tmp_path: Path, http: Any) -> None:
    """eventsource-reconnect: after `retry` milliseconds the browser resumes with its last id."""
    async with running_site(tmp_path, live=True, http=http) as site:
        proxy = RecordingProxy(int(site.address.rpartition(":")[2]))
        async with proxy.listen() as address, chromium(address) as window:
            window.expected_errors = BROKEN
            page = await window.open("/healthz")
            await listen(page)
            await received(page, "connection")
            publish(site, 1, 2, 3)
            await received(page, "btc_usd", 3)
            retry = proxy.retries[-1]
            proxy.disconnect()
            await received(page, "error")
            publish(site, 4, 5, 6)
            opened = await received(page, "open", 2)
            publish(site, 7)
            events = await received(page, "btc_usd", 7)
            failed = (await received(page, "error"))[0]
            assert failed["ready"] == 0  # connecting, not closed
            assert prices_of(events) == [1, 2, 3, 4, 5, 6, 7]
            assert f"Last-Event-ID: {site.bus.epoch}-3".lower() in proxy.requests[-1].lower()
            assert 1000 <= retry <= 5000
            assert retry * 0.9 <= opened[1]["at"] - failed["at"] <= retry * 1.1 + 300


async def test_an_id_of_another_epoch_gets_a_gap_event(tmp_path: Path, http: Any) -> None:
    """After a restart with another epoch the stream cannot be resumed, and sends `kind: gap`."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        running_site(tmp_path / "one", live=True, http=http) as one,
        running_site(tmp_path / "two", live=True, http=http) as two,
    ):
        two.bus.epoch = 7
        proxy = RecordingProxy(int(one.address.rpartition(":")[2]))
        async with proxy.listen() as address, chromium(address) as window:
            window.expected_errors = BROKEN
            page = await window.open("/healthz")
            await listen(page)
            await received(page, "connection")
            publish(one, 1, 2)
            publish(two, 50)
            await received(page, "btc_usd", 2)
            proxy.port = int(two.address.rpartition(":")[2])
            proxy.disconnect()
            events = await received(page, "btc_usd", 3)
            assert prices_of(events) == [1, 2, 50]
            connection = [event["data"] for event in await received(page, "connection", 3)]
            assert any('"kind":"gap"' in text and '"reason":"epoch"' in text for text in connection)


async def test_overload_does_not_close_an_eventsource(tmp_path: Path) -> None:
    """request-status-error: any status but 200 is final, so one stream too many gets 200, a `retry` and an end."""
    limits = {"max_streams_per_address": 1}
    async with (
        running_site(tmp_path, live=True, http=HandoverProtocol, limits=limits) as site,
        chromium(site.address) as window,
    ):
        page = await window.open("/healthz")
        await listen(page)
        await received(page, "connection")
        other = await window.open("/healthz")
        await listen(other)
        failed = (await received(other, "error"))[0]
        assert failed["ready"] == 0
        assert len(site.manager) == 1


async def test_a_closed_eventsource_ends_its_stream(tmp_path: Path) -> None:
    """eventsource-close: the server removes the stream."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        await received(page, "connection")
        await page.evaluate("source.close()")
        with anyio.fail_after(60):
            while len(site.manager):
                await anyio.sleep(0.01)


async def test_a_redirect_is_followed(tmp_path: Path) -> None:
    """request-redirect: the address without its last slash redirects to the stream."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page, "/sse?timer=0")
        assert (await received(page, "connection"))[0]["data"].startswith('{"kind":"upstream"')


async def test_only_allowed_origins_receive_events(tmp_path: Path) -> None:
    """eventsource-cross-origin: the browser refuses the stream to a page of another origin unless it is allowed."""
    async with running_server(PlainTextResponse("elsewhere")) as elsewhere:
        for origins in ([elsewhere], []):
            async with (
                running_site(tmp_path, live=True, http=HandoverProtocol, origins=origins) as site,
                chromium(elsewhere) as window,
            ):
                window.allowed_origins, window.expected_errors = (site.address,), ("CORS", "ERR_FAILED")
                page = await window.open()
                await listen(page, f"{site.address}/sse/?timer=0")
                if origins:
                    assert len(await received(page, "connection")) == 1
                else:
                    assert (await received(page, "error"))[0]["ready"] == 2  # closed for good
