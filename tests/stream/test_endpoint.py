"""The endpoint on a real server, with both kinds of sink: its answers, its headers, and what it refuses."""

from collections.abc import Mapping

import anyio
import pytest
from starlette.requests import Request

from cryptomarket.market.demand import Demand
from cryptomarket.stream.parameters import _cached, parse_parameters

from .server import Serving


class Report:
    """Keeps the reason, the status and the details of each refusal."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int | None, Mapping[str, object]]] = []

    def __call__(
        self, reason: str, *, address: str | None, route: str, status: int | None = None, **details: object
    ) -> None:
        assert (address, route) == ("127.0.0.1", "/sse/")
        self.seen.append((reason, status, details))


async def test_a_stream_carries_prices_and_the_state(serving: Serving) -> None:
    """The first write has the newest prices; with timer 0 each tick follows at once."""
    async with serving() as site:
        site.publish(1)
        stream = await site.get("/sse/?timer=0")
        await stream.until(2)
        site.publish(2)
        await stream.until(3)
    assert stream.prices() == [1, 2]
    assert stream.events[1].json["kind"] == "upstream"
    assert 1000 <= (stream.parser.retry or 0) <= 5000


async def test_the_headers_are_those_of_the_contract(serving: Serving) -> None:
    """The headers keep caches from storing the stream, and proxies from changing or buffering it."""
    async with serving() as site:
        stream = await site.get()
        await stream.until(1)
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store, no-transform"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in stream.headers


@pytest.mark.parametrize(
    "timer",
    ["-1", "abc", "", "0.05", "0.15", "3600.1", "36000", "1e3", "nan", "inf", "+5", "٥", "5,5", " 5"],
)
async def test_a_wrong_timer_is_a_problem_naming_it(serving: Serving, timer: str) -> None:
    """A wrong timer is a problem document with what was expected, before the stream starts."""
    async with serving() as site:
        answer = await site.get("/sse/?timer=" + timer.replace("٥", "%D9%A5").replace(" ", "%20").replace("+", "%2B"))
        body = await answer.to_end()
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert b'"parameter":"timer"' in body
    assert b"0.1 to 3600" in body
    assert len(site.manager) == 0


@pytest.mark.parametrize(
    ("query", "parameter", "says"),
    [
        ("timer=1&timer=2", "timer", "one value"),
        ("foo=1", "foo", "channels, fields, lastEventId, timer"),
        ("timer=1&interval=5", "interval", "did you mean timer?"),
        ("tickers=btc_usd", "tickers", "did you mean channels?"),
    ],
)
async def test_d10_an_unknown_or_repeated_parameter_is_refused(
    serving: Serving, query: str, parameter: str, says: str
) -> None:
    """It is named before the stream starts, with what is known."""
    async with serving() as site:
        answer = await site.get(f"/sse/?{query}")
        assert answer.status == 422
        body = await answer.to_end()
    assert f'"parameter":"{parameter}"'.encode() in body
    assert says.encode() in body
    assert len(site.manager) == 0


@pytest.mark.parametrize("timer", ["0", "0.0", "0.1", "0.10", "5", "5.0", "3600", "3600.0"])
async def test_a_right_timer_is_taken(serving: Serving, timer: str) -> None:
    """A timer is 0, or tenths of a second up to an hour."""
    async with serving() as site:
        assert (await site.get(f"/sse/?timer={timer}")).status == 200
        assert site.manager.statistics().by_timer == {float(timer): 1}


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ("nonsense", b"did you mean BTC-PERPETUAL"),
        ("", b"names of tickers"),
        ("btc_usd,,eth_usd", b"names of tickers"),
        ("btc_usd&channels=eth_usd", b"one value"),
        (",".join(f"t{i}" for i in range(21)), b"20 at most"),
        ("BTC_USD", b"BTC_USD"),
        ("%00%0d%0a%F0%9F%92%A9", b"none"),
    ],
)
async def test_a_wrong_channel_is_a_problem_naming_it(serving: Serving, channels: str, said: bytes) -> None:
    """Unknown, empty, repeated or too many channels are a problem document, before the stream starts."""
    async with serving() as site:
        answer = await site.get(f"/sse/?channels={channels}")
        body = await answer.to_end()
    assert answer.status == 422
    assert b'"parameter":"channels"' in body
    assert said in body


async def test_channels_choose_tickers(serving: Serving) -> None:
    """A stream may name configured tickers and others of the catalogue; `connection` is always delivered."""
    demand = Demand(("btc_usd", "eth_usd"))
    async with serving(manager={"demand": demand}) as site:
        site.publish(1)
        site.publish(2, ticker="eth_usd")
        one = await site.get("/sse/?timer=0&channels=eth_usd,connection,eth_usd")
        none = await site.get("/sse/?timer=0&channels=connection")
        more = await site.get("/sse/?timer=0&channels=BTC-PERPETUAL")
        await one.until(2)
        await none.until(1)
        await more.until(1)
        site.publish(3, ticker="BTC-PERPETUAL")
        await more.until(2)
    assert (one.prices(), none.prices(), more.prices()) == ([2], [], [3])
    assert demand.tickers == {"BTC-PERPETUAL"}


async def test_a_full_pool_is_a_gap_on_the_stream(serving: Serving) -> None:
    """The status is 200, the rest of the stream flows, and the refusal is reported."""
    demand = Demand(("btc_usd", "eth_usd"), max_tickers=3)
    report = Report()
    async with serving(manager={"demand": demand, "refused": report}, known=lambda _: True) as site:
        await site.get("/sse/?channels=A")
        stream = await site.get("/sse/?timer=0&channels=B,btc_usd,A")
        await stream.until(2)
        site.publish(1)
        site.publish(2, ticker="A")
        await stream.until(4)
    assert stream.status == 200
    assert stream.events[0].json == {"kind": "gap", "from": None, "reason": "full", "ticker": "B"}
    assert stream.prices() == [1, 2]
    assert report.seen == [("max_tickers", 200, {"tickers": ["B"]})]


async def test_unknown_names_beside_known_ones_are_gaps(serving: Serving) -> None:
    """An instrument that ended does not end the stream of a page that asks for it; the known ones flow."""
    report = Report()
    async with serving(refused=report) as site:
        site.publish(1)
        stream = await site.get("/sse/?timer=0&channels=BTC-26JUN20,btc_usd,%22%0d%0adata:%e2%80%a8x,connection")
        await stream.until(4)
        site.publish(2)
        await stream.until(5)
    assert stream.status == 200
    refused = [event.json for event in stream.events if event.event == "connection" and event.json["kind"] == "gap"]
    names = ['"\r\ndata:\u2028x', "BTC-26JUN20"]
    assert refused == [{"kind": "gap", "from": None, "reason": "refused", "ticker": name} for name in names]
    assert stream.prices() == [1, 2]
    assert report.seen == [("unknown_ticker", 200, {"tickers": names})]


@pytest.mark.parametrize("channels", ["nonsense", "nonsense,connection", "nonsense,more"])
async def test_only_unknown_names_are_a_problem(serving: Serving, channels: str) -> None:
    """`connection` is no ticker: every stream has it, named or not."""
    report = Report()
    async with serving(refused=report) as site:
        answer = await site.get(f"/sse/?channels={channels}")
        assert answer.status == 422
        assert b"did you mean BTC-PERPETUAL" in await answer.to_end()
    assert [(reason, status) for reason, status, _ in report.seen] == [("unknown_ticker", 422)]


@pytest.mark.parametrize("fetching", [True, False])
@pytest.mark.parametrize("channels", ["BTC-26JUN20", "BTC-26JUN20,connection", "BTC-26JUN20,btc_usd"])
async def test_no_name_is_wrong_before_the_catalogue_was_read(
    serving: Serving, channels: str, *, fetching: bool
) -> None:
    """A browser that returns after a restart is told to return once more; when the fetch failed, known names flow."""
    report, fetched = Report(), False
    options = {"refused": report, "fetched": lambda: fetched, "fetching": lambda: fetching}
    async with serving(**options) as site:
        early = await site.get(f"/sse/?channels={channels}")
        assert early.status == 200
        if fetching or "btc_usd" not in channels:
            await early.to_end()
            assert (early.events, report.seen) == ([], [])
            assert 5_000 <= (early.parser.retry or 0) <= 15_000
            assert site.manager.statistics().shed == {"catalogue": 1}
        else:
            site.publish(1)
            await early.until(2)
            assert early.events[0].json["reason"] == "refused"
        await (await site.get("/sse/?channels=btc_usd")).until(1)
        fetched = True
        assert (await site.get(f"/sse/?channels={channels}")).status == (200 if "btc_usd" in channels else 422)


async def test_a_name_longer_than_any_ticker_is_a_problem(serving: Serving) -> None:
    """It is not repeated, even beside a known one."""
    async with serving() as site:
        answer = await site.get(f"/sse/?channels=btc_usd,{'x' * 65}")
        assert answer.status == 422
        assert b"64 characters" in await answer.to_end()
        assert (await site.get(f"/sse/?channels=btc_usd,{'x' * 64}")).status == 200


def test_long_queries_are_not_kept() -> None:
    """Who varies a query cannot fill the cache of parsed queries with megabytes."""
    _cached.cache_clear()
    for i in range(100):
        parse_parameters(f"channels=btc_usd{'%20' * 400}&lastEventId={i}".encode())
        parse_parameters(f"channels=btc_usd&lastEventId={i}".encode())
    assert _cached.cache_info().currsize == 100


async def test_resumes_of_one_address_have_a_rate(serving: Serving) -> None:
    """Each may make the gateway send thousands of events: beyond the rate these are a gap, not the end."""
    now = [100.0]
    report = Report()
    options = {"max_streams_per_address": 2, "monotonic": lambda: now[0], "refused": report}
    async with serving(**options) as site:
        site.publish(*range(1, 6001))
        first = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="7-1")
        await first.until(6000)  # which counts as 25 joins, of 20 at once
        await first.socket.aclose()
        await site.streams(0)
        now[0] += 3.5  # for the 5 that it owes, and 2 joins
        for _ in range(2):
            second = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="7-1")
            await second.until(3)
            assert second.events[0].json == {"kind": "gap", "from": "7-1", "reason": "too_old"}
            assert second.prices() == [6000]
            await second.socket.aclose()
            await site.streams(0)
        assert report.seen == []
        third = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="7-1")
        await third.to_end()
        assert (third.status, third.events, (third.parser.retry or 0) >= 15_000) == (200, [], True)
        assert [reason for reason, _, _ in report.seen] == ["max_joins_per_address"]
        now[0] += 60
        again = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="7-5999")
        await again.until(2)
        assert again.prices() == [6000]


async def test_last_event_id_resumes_an_immediate_stream(serving: Serving) -> None:
    """The missed ticks come first; an invalid id is a gap."""
    async with serving() as site:
        site.publish(1, 2, 3)
        resumed = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="7-1")
        foreign = await site.get("/sse/?timer=0&channels=btc_usd", Last_Event_ID="caf\xe9\x00\x7f"[:4])
        await resumed.until(3)
        await foreign.until(3)
    assert resumed.prices() == [2, 3]
    assert foreign.events[0].json == {"kind": "gap", "from": "caf\xe9", "reason": "unknown"}
    assert foreign.prices() == [3]


async def test_the_last_event_id_may_be_a_parameter(serving: Serving) -> None:
    """Polyfills of EventSource cannot send headers; the header counts first."""
    async with serving() as site:
        site.publish(1, 2, 3)
        resumed = await site.get("/sse/?timer=0&channels=btc_usd&lastEventId=7-1")
        both = await site.get("/sse/?timer=0&channels=btc_usd&lastEventId=7-1", Last_Event_ID="7-2")
        await resumed.until(3)
        await both.until(2)
    assert (resumed.prices(), both.prices()) == ([2, 3], [3])


async def test_head_is_answered_without_a_stream(serving: Serving) -> None:
    """HEAD returns the headers without body and stream, and the same problems as GET."""
    async with serving() as site:
        answer = await site.get(method="HEAD")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert len(site.manager) == 0
        assert (await site.get("/sse/?timer=x", method="HEAD")).status == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(serving: Serving, method: str) -> None:
    """Other methods are refused, and the answer names those that are allowed."""
    async with serving() as site:
        answer = await site.get(method=method, Content_Length="0")
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, HEAD"
        assert b"is read with GET" in await answer.to_end()


async def test_only_allowed_origins_may_read(serving: Serving) -> None:
    """The answer names exactly the origin that asks, never `*`, never with credentials; problems do too."""
    async with serving(allowed_origins=["https://shop.example"]) as site:
        allowed = await site.get(Origin="https://shop.example")
        other = await site.get(Origin="https://evil.example")
        wrong = await site.get("/sse/?timer=x", Origin="https://shop.example")
        preflight = await site.get(method="OPTIONS", Origin="https://shop.example", Access_Control_Request_Method="GET")
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert wrong.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers
    assert (preflight.status, preflight.headers["access-control-allow-methods"]) == (204, "GET")
    assert all("access-control-allow-credentials" not in answer.headers for answer in (allowed, other, preflight))
    assert all(answer.headers["vary"] == "Origin" for answer in (allowed, other, wrong))


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_streams": 1}, "max_streams"), ({"max_streams_per_address": 1}, "max_streams_per_address")],
)
async def test_overload_is_answered_with_200_a_long_retry_and_the_end(
    serving: Serving, options: Mapping[str, int], reason: str
) -> None:
    """The answer is 200 with a long pause, as an EventSource does not return from others; later the stream opens."""
    async with serving(**options) as site:
        first = await site.get()
        second = await site.get()
        assert (second.status, second.headers["content-type"]) == (200, "text/event-stream")
        assert await second.to_end()
        assert second.events == []
        assert 15_000 <= (second.parser.retry or 0) <= 45_000
        assert second.headers["connection"] == "close"
        assert site.manager.statistics().shed == {reason: 1}
        await first.socket.aclose()
        await site.streams(0)
        third = await site.get()
        await third.until(1)


async def test_a_draining_manager_sends_newcomers_away(serving: Serving) -> None:
    """A request on a connection that was already open is answered as under overload."""
    async with serving() as site:
        await site.manager.drain(0)
        late = await site.get()
        await late.to_end()
    assert late.status == 200
    assert (late.parser.retry or 0) >= 15_000


async def test_a_drain_ends_the_response_in_good_order(serving: Serving) -> None:
    """The pause is written before the end of the body, so that the browser reconnects after it."""
    async with serving() as site:
        stream = await site.get("/sse/?timer=5")
        await stream.until(1)
        await site.manager.drain(0)
        await stream.to_end()
    assert stream.ended
    assert len(stream.parser.retries) == 2


async def test_a_reader_that_leaves_is_forgotten(serving: Serving) -> None:
    """A stream is removed however its reader leaves."""
    async with serving() as site:
        streams = [await site.get() for _ in range(5)]
        await site.streams(5)
        for stream in streams:
            await stream.socket.aclose()
        with anyio.fail_after(60):
            await site.streams(0)


async def test_the_browser_session_is_identified_by_the_request(serving: Serving) -> None:
    """Personal events go to the browser session of the cookie, and a header may begin a session."""

    def identify(request: Request) -> tuple[str | None, Mapping[str, str]]:
        return request.cookies.get("session"), {"Set-Cookie": "session=new"}

    async with serving(identify=identify) as site:
        mine = await site.get(Cookie="session=a")
        other = await site.get()
        assert mine.headers["set-cookie"] == "session=new"
        assert site.manager.send("a", '{"kind":"person"}') == 1
        await mine.until(2)
        await other.until(1)
    assert [e.json["kind"] for e in mine.events] == ["upstream", "person"]


async def test_a_reader_blocked_for_long_is_cut_off_and_the_others_are_not(serving: Serving) -> None:
    """Its response is cancelled while it waits for the reader; another stream misses nothing."""
    async with serving(manager={"blocked_seconds": 0.3}, identify=lambda r: (r.cookies.get("session"), {})) as site:
        healthy = await site.get("/sse/?timer=0&channels=eth_usd")
        await healthy.until(1)
        stalled = await site.get("/sse/?timer=0&channels=btc_usd", Cookie="session=a")
        await site.streams(2)
        with anyio.fail_after(60):
            while not site.manager.statistics().shed:  # more than all buffers of the kernel hold
                site.manager.send("a", "x" * 100_000)
                await anyio.sleep(0.001)
        site.publish(7, ticker="eth_usd")
        await healthy.until(2)
        assert site.manager.statistics().shed == {"blocked": 1}
        assert len(site.manager) == 1
        assert not stalled.events
