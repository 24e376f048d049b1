"""What a browser's own EventSource makes of our stream: the rows of web-platform-tests that a server can break."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page
from starlette.responses import PlainTextResponse

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from tests.web.site import Site, running_server, running_site

from .chromium import chromium
from .line import Line

pytestmark = pytest.mark.system

#: Listens as a page would, and keeps all it hears with the moment.
LISTEN = """
    ([address, names]) => {
        const heard = [];
        const source = new EventSource(address);
        const note = kind => heard.push({kind, ready: source.readyState, at: performance.now()});
        source.onopen = () => note('open');
        source.onerror = () => note('error');
        source.onmessage = () => note('unnamed');
        for (const name of names) source.addEventListener(name, event =>
            heard.push({kind: name, data: event.data, id: event.lastEventId, at: performance.now()}));
        Object.assign(globalThis, {heard, source});
    }
"""
NAMES = ["btc_usd", "eth_usd", "connection"]
BROKEN = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")


@pytest.fixture(params=["httptools", HandoverProtocol], ids=["asgi", "socket"])
def http(request: pytest.FixtureRequest) -> Any:
    """The two ways a stream is served."""
    return request.param


async def listen(page: Page, address: str = "/sse/?timer=0") -> None:
    """Open an EventSource in the page."""
    await page.evaluate(LISTEN, [address, NAMES])


async def heard(page: Page, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """What was heard of a kind, once there are so many."""
    script = "([kind, count]) => heard.filter(one => one.kind === kind).length >= count"
    await page.wait_for_function(script, arg=[kind, count])
    found: list[dict[str, Any]] = await page.evaluate("kind => heard.filter(one => one.kind === kind)", kind)
    return found


def publish(site: Site, *prices: int) -> None:
    """Ticks of btc_usd at these prices."""
    for price in prices:
        site.tick("btc_usd", f"{price}.10", ms=1_763_640_000_000 + price)


def seen(events: list[dict[str, Any]]) -> list[int]:
    """The prices in the events, without their fraction."""
    return [int(event["data"].split('"price":')[1].split(".")[0]) for event in events]


async def test_events_have_their_type_data_and_id(tmp_path: Path, http: Any) -> None:
    """format-field-event, -data, -id: each tick is one event of its ticker's name, exact, with its own id."""
    async with running_site(tmp_path, live=True, http=http) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        await heard(page, "connection")
        publish(site, 1, 2, 3)
        events = await heard(page, "btc_usd", 3)
        sent = site.latest.tick("btc_usd")
        assert sent is not None
        assert seen(events) == [1, 2, 3]
        assert events[-1]["data"] == sent.json()
        assert [event["id"] for event in events] == [f"{site.bus.epoch}-{n}" for n in (1, 2, 3)]
        assert await page.evaluate("heard.filter(one => one.kind === 'unnamed')") == []


async def test_an_event_without_id_keeps_the_last_one(tmp_path: Path) -> None:
    """format-field-id-2: the state has no id of its own, and does not clear the one before."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        states = await heard(page, "connection")
        assert states[0]["id"] == ""
        publish(site, 1)
        await heard(page, "btc_usd")
        await listen(page, "/sse/?timer=0")
        assert (await heard(page, "connection"))[0]["id"] == f"{site.bus.epoch}-1"


async def test_the_content_type_is_exactly_that_of_a_stream(tmp_path: Path) -> None:
    """format-mime-*: nothing but text/event-stream is accepted, with whatever parameter it carries."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        kind = await page.evaluate(
            "fetch('/sse/').then(answer => (answer.body.cancel(), answer.headers.get('content-type')))"
        )
        assert kind in ("text/event-stream", "text/event-stream; charset=utf-8")


async def test_a_broken_line_loses_no_tick_and_doubles_none(tmp_path: Path, http: Any) -> None:
    """eventsource-reconnect: after `retry` the browser is back with its last id, and misses nothing."""
    async with running_site(tmp_path, live=True, http=http) as site:
        line = Line(int(site.address.rpartition(":")[2]))
        async with line.open() as address, chromium(address) as window:
            window.expected = BROKEN
            page = await window.open("/healthz")
            await listen(page)
            await heard(page, "connection")
            publish(site, 1, 2, 3)
            await heard(page, "btc_usd", 3)
            retry = line.retries[-1]
            line.cut()
            await heard(page, "error")
            publish(site, 4, 5, 6)
            opened = await heard(page, "open", 2)
            publish(site, 7)
            events = await heard(page, "btc_usd", 7)
            failed = (await heard(page, "error"))[0]
            assert failed["ready"] == 0  # connecting, not closed
            assert seen(events) == [1, 2, 3, 4, 5, 6, 7]
            assert f"Last-Event-ID: {site.bus.epoch}-3".lower() in line.asked[-1].lower()
            assert 1000 <= retry <= 5000
            assert retry * 0.9 <= opened[1]["at"] - failed["at"] <= retry * 1.1 + 300


async def test_an_id_of_another_epoch_is_answered_with_a_gap(tmp_path: Path, http: Any) -> None:
    """What cannot be resumed is said: after a restart under another epoch a page hears of the gap."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with (
        running_site(tmp_path / "one", live=True, http=http) as one,
        running_site(tmp_path / "two", live=True, http=http) as two,
    ):
        two.bus.epoch = 7
        line = Line(int(one.address.rpartition(":")[2]))
        async with line.open() as address, chromium(address) as window:
            window.expected = BROKEN
            page = await window.open("/healthz")
            await listen(page)
            await heard(page, "connection")
            publish(one, 1, 2)
            publish(two, 50)
            await heard(page, "btc_usd", 2)
            line.port = int(two.address.rpartition(":")[2])
            line.cut()
            events = await heard(page, "btc_usd", 3)
            assert seen(events) == [1, 2, 50]
            said = [event["data"] for event in await heard(page, "connection", 3)]
            assert any('"kind":"gap"' in text and '"reason":"epoch"' in text for text in said)


async def test_overload_does_not_kill_an_eventsource(tmp_path: Path) -> None:
    """request-status-error: any status but 200 is fatal, so one stream too many is answered 200, and comes back."""
    limits = {"max_streams_per_address": 1}
    async with (
        running_site(tmp_path, live=True, http=HandoverProtocol, limits=limits) as site,
        chromium(site.address) as window,
    ):
        page = await window.open("/healthz")
        await listen(page)
        await heard(page, "connection")
        other = await window.open("/healthz")
        await listen(other)
        failed = (await heard(other, "error"))[0]
        assert failed["ready"] == 0
        assert len(site.manager) == 1


async def test_a_closed_eventsource_frees_its_place(tmp_path: Path) -> None:
    """eventsource-close: the server knows at once."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page)
        await heard(page, "connection")
        await page.evaluate("source.close()")
        with anyio.fail_after(60):
            while len(site.manager):
                await anyio.sleep(0.01)


async def test_a_redirect_is_followed(tmp_path: Path) -> None:
    """request-redirect: without its last slash the address leads to the stream."""
    async with running_site(tmp_path, live=True, http=HandoverProtocol) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await listen(page, "/sse?timer=0")
        assert (await heard(page, "connection"))[0]["data"].startswith('{"kind":"upstream"')


async def test_only_allowed_origins_hear_anything(tmp_path: Path) -> None:
    """eventsource-cross-origin: a page elsewhere is refused by its own browser, an allowed one is not."""
    async with running_server(PlainTextResponse("elsewhere")) as elsewhere:
        for origins in ([elsewhere], []):
            async with (
                running_site(tmp_path, live=True, http=HandoverProtocol, origins=origins) as site,
                chromium(elsewhere) as window,
            ):
                window.friends, window.expected = (site.address,), ("CORS", "ERR_FAILED")
                page = await window.open()
                await listen(page, f"{site.address}/sse/?timer=0")
                if origins:
                    assert len(await heard(page, "connection")) == 1
                else:
                    assert (await heard(page, "error"))[0]["ready"] == 2  # closed for good
