"""One test per bug thread of other clients, numbered as in our study of them: those about reading messages."""

import json
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import anyio
import pytest

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.deribit.messages import read_price
from cryptomarket.simulator.exchange import running_exchange

PERPETUAL = {
    "instrument_name": "BTC-PERPETUAL",
    "kind": "future",
    "settlement_period": "perpetual",
    "settlement_currency": "BTC",
    "is_active": True,
    "state": "open",
}


@asynccontextmanager
async def answering(answer: Callable[[str], Any]) -> AsyncIterator[HttpClient]:
    """The API before a server that answers each method with a JSON result of the test's choice."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive()
            result = answer(head.split(b" ")[1].decode())
            body = json.dumps({"jsonrpc": "2.0", "result": result, "usIn": 1, "usOut": 2, "testnet": True}).encode()
            start = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            await stream.send(start + body)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks, HttpClient(f"http://127.0.0.1:{port}/api/v2") as api:
            tasks.start_soon(listener.serve, serve)
            yield api
            tasks.cancel_scope.cancel()


async def listed(*instruments: Any) -> Set[str]:
    """The catalogue when the exchange lists these instruments and one index."""

    def answer(target: str) -> Any:
        return ["btc_usd"] if "get_index_price_names" in target else [PERPETUAL, *instruments]

    async with answering(answer) as api:
        return (await api.tickers()).keys()


async def test_thread_08_a_new_kind_of_instrument_is_listed() -> None:
    """`future_combo` appeared one day and stopped other clients at their start."""
    combo = {**PERPETUAL, "instrument_name": "BTC-FS-27MAR26_PERP", "kind": "future_combo"}
    assert await listed(combo) == {"btc_usd", "BTC-PERPETUAL", "BTC-FS-27MAR26_PERP"}


async def test_thread_09_spot_without_a_settlement_period_is_listed() -> None:
    """Fields that always were there may be absent."""
    spot = {"instrument_name": "BTC_USDC", "kind": "spot", "is_active": True}
    assert "BTC_USDC" in await listed(spot)


async def test_thread_10_a_null_settlement_currency_is_listed() -> None:
    """Nulls where texts were are no reason to forget an instrument."""
    spot = {"instrument_name": "ETH_USDC", "kind": "spot", "settlement_currency": None, "expiration_timestamp": None}
    assert "ETH_USDC" in await listed(spot)


async def test_thread_11_unknown_words_are_carried_and_ruins_are_left_out() -> None:
    """Instruments of an unknown kind or state are listed; one without a readable name is left out alone."""
    odd = {**PERPETUAL, "instrument_name": "BTC-XYZ", "kind": "option_combo_of_futures", "state": "dreaming"}
    assert await listed(odd, {"kind": "spot"}, 7, None, {"instrument_name": "a b/../c"}) == {
        "btc_usd",
        "BTC-PERPETUAL",
        "BTC-XYZ",
    }


def test_thread_12_an_option_has_no_funding() -> None:
    """Fields of perpetuals are absent from an option's ticker, its own are passed by."""
    data = (
        b'{"timestamp":1790755218559,"state":"open","instrument_name":"BTC-25DEC26-76000-C","mark_price":0.1331,'
        b'"greeks":{"delta":0.5},"mark_iv":44.1,"underlying_index":"SYN.BTC-25DEC26","interest_rate":0}'
    )
    tick = read_price("BTC-25DEC26-76000-C", data).tick
    assert tick is not None
    assert tick.price == Decimal("0.1331")


def test_thread_13_nulls_of_a_quiet_instrument_are_no_prices() -> None:
    """`Decimal(None)` is an exception elsewhere; here the last price is absent and the mark stands."""
    data = (
        b'{"timestamp":1790755218559,"instrument_name":"X-1","mark_price":8.7e3,"last_price":null,"best_bid_price":null,'
        b'"best_ask_price":null,"stats":{"low":null,"high":null,"price_change":null,"volume":null}}'
    )
    tick = read_price("X-1", data).tick
    assert tick is not None
    assert (str(tick.price), tick.last, tick.bid, tick.ask) == ("8700", None, None, None)


@pytest.mark.parametrize("boundary", [0, 1])
async def test_thread_23_the_first_bar_is_there(boundary: int) -> None:
    """The exchange sometimes omits the bar at the requested start: one more is requested and cut off."""
    start, step = 1_790_755_200_000, 60_000
    targets: list[str] = []

    def answer(target: str) -> Any:
        targets.append(target)
        given = int(target.split("start_timestamp=")[1].split("&")[0])
        ticks = list(range(given + boundary * step, start + 3 * step + 1, step))
        column = [5.0] * len(ticks)
        return {"status": "ok", "ticks": ticks, "open": column, "high": column, "low": column, "close": column}

    async with answering(answer) as api:
        bars = await api.bars("BTC-PERPETUAL", start, start + 3 * step)
    assert [bar.timestamp for bar in bars] == [start, start + step, start + 2 * step]


async def test_thread_24_a_bar_that_contradicts_itself_is_left_out() -> None:
    """Bars of the exchange have been off by hundreds: a missing one shows, a wrong one does not."""

    def answer(_: str) -> Any:
        return {
            "status": "ok",
            "ticks": [60_000, 120_000, 180_000],
            "open": [10.0, 10.0, None],
            "high": [11.0, 9.0, 12.0],
            "low": [9.0, 8.0, 9.0],
            "close": [10.5, 8.5, 10.0],
        }

    async with answering(answer) as api:
        assert [bar.timestamp for bar in await api.bars("BTC-PERPETUAL", 0, 240_000)] == [60_000]


async def test_bars_of_the_simulated_exchange() -> None:
    """The same call against an exchange that answers as recorded."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        end = exchange.state.now_ms()
        bars = await api.bars("BTC-PERPETUAL", end - 3_600_000, end)
        assert 58 <= len(bars) <= 61
