"""The exchange over real sockets: framing, subscriptions, heartbeats, HTTP."""

import itertools
import json
from itertools import pairwise

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from cryptomarket.simulator.exchange import Exchange, running_exchange

from .client import connected, http

INDEX, TICKER = "deribit_price_index.btc_usd", "ticker.BTC-PERPETUAL.100ms"


async def test_answers_carry_id_and_times() -> None:
    """An id comes back with its type, and the four fields of time stand in every answer, errors too."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.send({"jsonrpc": "2.0", "id": "nfm01", "method": "public/test", "params": {}})
        answer = await client.read()
        assert list(answer) == ["jsonrpc", "id", "result", "usIn", "usOut", "usDiff", "testnet"]
        assert answer["id"] == "nfm01"
        assert answer["usDiff"] == answer["usOut"] - answer["usIn"]
        refused = await client.ask("public/ticker", instrument_name="nonsense")
        assert refused["error"]["data"] == {"param": "instrument_name", "reason": "wrong format"}
        assert "usIn" in refused


async def test_subscribing_drops_the_unknown_and_greets_with_the_present() -> None:
    """The answer lists what was accepted in descending order, then a message of each channel in that order."""
    async with running_exchange() as exchange, connected(exchange) as client:
        assert await client.result("public/subscribe", channels=[INDEX, "bogus", TICKER]) == [TICKER, INDEX]
        first, second = await client.read(), await client.read()
        assert [first["params"]["channel"], second["params"]["channel"]] == [TICKER, INDEX]
        assert set(second["params"]["data"]) == {"timestamp", "price", "index_name"}
        assert await client.result("public/unsubscribe", channels=[INDEX, "bogus"]) == [INDEX]


async def test_no_tick_of_an_index_is_lost() -> None:
    """Every tick after the greeting arrives once, 1007 ms after the one before."""
    passing = itertools.count(1_795_161_600.0, 0.03).__next__  # each look at the clock takes so long, busy or not
    async with running_exchange(time_scale=20, wall=passing) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=[INDEX])
        stamps = [(await client.notification(INDEX))["params"]["data"]["timestamp"] for _ in range(15)]
        assert {later - earlier for earlier, later in pairwise(stamps)} == {50}


async def test_ticks_of_a_hold_up_come_one_by_one() -> None:
    """When the clock jumps because the process was held up, every tick that fell due is sent, in order."""
    moment = [1_795_161_600.0]
    async with running_exchange(time_scale=10, wall=lambda: moment[0]) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=[INDEX])
        moment[0] += 1.9
        stamps = [(await client.notification(INDEX))["params"]["data"]["timestamp"] for _ in range(19)]
        assert {later - earlier for earlier, later in pairwise(stamps)} == {101}


async def test_who_joins_after_a_hold_up_sees_no_time_go_back() -> None:
    """The greeting is a tick like those that follow while the exchange catches up."""
    moment = [1_795_161_600.0]
    async with running_exchange(time_scale=10, wall=lambda: moment[0]) as exchange, connected(exchange) as client:
        await client.result("public/test")
        await client.send({"jsonrpc": "2.0", "id": 7, "method": "public/subscribe", "params": {"channels": [INDEX]}})
        moment[0] += 1.9
        stamps = [(await client.notification(INDEX))["params"]["data"]["timestamp"] for _ in range(10)]
        assert {later - earlier for earlier, later in pairwise(stamps)} == {101}


async def test_one_raw_channel_spoils_the_whole_call_without_login() -> None:
    """Nothing is subscribed when a raw channel is among them, until somebody logs in."""
    async with running_exchange() as exchange, connected(exchange) as client:
        raw = "ticker.BTC-PERPETUAL.raw"
        assert await client.error("public/subscribe", channels=[TICKER, raw]) == 13778
        assert exchange.broadcaster.entries == {}
        await client.login()
        assert await client.result("public/subscribe", channels=[TICKER, raw]) == [raw, TICKER]


async def test_a_frame_that_is_no_json_gets_an_error_without_id() -> None:
    """As probed in 2026: the data is a text, there is no id, and the connection goes on."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.send("{nope")
        text = await client.text()
        refused = '{"code":11050,"data":"invalid json","message":"bad_request"}'
        assert text.startswith(f'{{"jsonrpc":"2.0","error":{refused},"usIn":')
        assert await client.result("public/test") == {"version": "1.2.26"}


async def test_an_oversized_request_gets_an_error_without_id() -> None:
    """More than 32 kB is refused unread."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.send({"jsonrpc": "2.0", "id": 7, "method": "public/test", "params": {"x": "y" * 33_000}})
        answer = await client.read()
        assert "id" not in answer
        assert answer["error"]["code"] == -32600


async def test_too_many_requests_end_the_session() -> None:
    """The burst of subscriptions is ten; the eleventh gets 10028 and the connection closes."""
    async with running_exchange(monotonic=lambda: 5.0) as exchange, connected(exchange) as client:
        for _ in range(10):
            await client.result("public/subscribe", channels=[INDEX])
        assert await client.error("public/subscribe", channels=[INDEX]) == 10028
        with anyio.fail_after(30):
            await client.socket.wait_closed()


async def test_logging_out_closes_without_an_answer() -> None:
    """private/logout ends the whole connection and the token with it."""
    async with running_exchange() as exchange, connected(exchange) as client, connected(exchange) as other:
        token = (await client.login("session:me"))["access_token"]
        await client.send({"jsonrpc": "2.0", "id": 9, "method": "private/logout", "params": {}})
        with pytest.raises(ConnectionClosed):
            await client.text()
        assert await other.error("private/get_subaccounts", access_token=token) == 13009


async def test_http_answers_the_same_methods() -> None:
    """GET and POST work, without an id when there was none; what needs a WebSocket is refused."""
    async with running_exchange() as exchange:
        status, body = await http(exchange, "/api/v2/public/get_index_price?index_name=btc_usd")
        answer = json.loads(body)
        assert (status, list(answer)[:2]) == (200, ["jsonrpc", "result"])
        assert set(answer["result"]) == {"index_price", "estimated_delivery_price"}
        request = {"jsonrpc": "2.0", "id": 4, "method": "public/get_currencies", "params": {}}
        status, body = await http(
            exchange, "/api/v2/public/get_currencies", verb="POST", body=json.dumps(request).encode()
        )
        assert (status, json.loads(body)["id"]) == (200, 4)
        status, body = await http(exchange, "/api/v2/public/ticker?instrument_name=nonsense")
        assert (status, json.loads(body)["error"]["code"]) == (400, -32602)
        status, body = await http(exchange, '/api/v2/public/subscribe?channels=["x"]')
        assert (status, json.loads(body)["error"]["code"]) == (400, 10030)
        status, body = await http(exchange, "/api/v2/private/get_account_summary?currency=BTC")
        assert (status, json.loads(body)["error"]["code"]) == (400, 13009)
        assert (await http(exchange, "/elsewhere"))[0] == 404


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ("public/get_index_chart_data?index_name=btc_usd&range=1h", 600),
        ("public/get_index_price_names", 70),
        ("public/get_instruments?currency=any", 131),
        ("public/get_delivery_prices?index_name=btc_usd&count=30", 1),
        (
            "public/get_volatility_index_data?currency=BTC&start_timestamp=0&end_timestamp=99999999999999&resolution=60",
            2,
        ),
    ],
)
async def test_catalogue_and_history_have_their_size(target: str, size: int) -> None:
    """The lists are as long as a client expects them."""
    async with running_exchange() as exchange:
        status, body = await http(exchange, f"/api/v2/{target}")
        assert status == 200
        assert len(json.loads(body)["result"]) >= size


async def test_the_33rd_connection_of_an_address_is_refused() -> None:
    """32 connections are allowed, WebSocket and HTTP together; one more gets HTTP 429."""
    async with running_exchange(most_connections=2) as exchange, connected(exchange), connected(exchange):
        assert (await http(exchange, "/api/v2/public/get_time"))[0] == 429


async def test_an_exchange_leaves_nothing_behind() -> None:
    """After the block the port is closed, and an error of the block comes out as it is."""
    seen: list[Exchange] = []

    async def fail() -> None:
        async with running_exchange() as exchange, connected(exchange):
            seen.append(exchange)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await fail()
    with pytest.raises(OSError, match=r".*"):
        await anyio.connect_tcp(seen[0].host, seen[0].port)
