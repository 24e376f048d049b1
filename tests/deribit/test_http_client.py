"""The exchange over HTTP."""

import time
from decimal import Decimal

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.deribit.http_transport import HttpTransport
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.model import Instrument
from cryptomarket.simulator.exchange import running_exchange


async def test_the_catalogue_holds_indices_and_instruments() -> None:
    """Both kinds of ticker come from the exchange's own lists."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        tickers = await api.tickers()
    assert tickers["btc_usd"] is None
    option = next(one for one in tickers.values() if one and one.kind == "option" and one.price_index == "btc_usd")
    assert tickers["BTC-PERPETUAL"] == Instrument(
        "BTC-PERPETUAL", "future", "btc_usd", "USD", None, None, "", Decimal("10.0"), Decimal("0.5")
    )
    # The price of an inverse option is counted in coins.
    assert (option.unit, option.option_type) in {("BTC", "call"), ("BTC", "put")}
    assert str(int(option.strike or 0)) == option.name.split("-")[2]
    assert option.expiry is not None
    assert option.expiry % 86_400 == 8 * 3600


async def test_the_index_chart_is_sorted_and_exact() -> None:
    """Averages, oldest first."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        points = await api.index_chart("btc_usd", "1h")
        assert points == sorted(points)
        assert len(points) > 100


@pytest.mark.parametrize("ticker", ["btc_usd", "BTC-PERPETUAL"])
async def test_the_newest_price_has_the_exchanges_time(ticker: str) -> None:
    """Of an index, whose answer carries no time stamp, it is the moment of the answer."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        first, second = await api.newest(ticker), await api.newest(ticker)
        assert first is not None
        assert second is not None
        assert first.price > 0
        assert abs(first.exchange_timestamp - time.time() * 1000) < 60_000
        assert second.exchange_timestamp >= first.exchange_timestamp


async def test_an_error_answer_is_a_refusal_with_its_code() -> None:
    """HTTP 400 with a JSON error is an answer of the exchange, not a broken connection."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as api:
        with pytest.raises(ExchangeRefused) as caught:
            await api.index_chart("nope_usd")
        assert caught.value.code == -32602


async def test_nobody_there_is_unreachable() -> None:
    """After a few tries, and without naming addresses."""
    async with HttpClient("http://127.0.0.1:1/api/v2", tries=2, random=lambda: 0.0) as api:
        with pytest.raises(ExchangeUnreachable, match="ConnectError"):
            await api.call("public/get_time")


async def test_an_answer_that_never_ends_is_none() -> None:
    """Its parts arrive in time, so only the time of the whole answer ends it."""

    async def drip(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                try:
                    await stream.send(b" ")
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return
                await anyio.sleep(0.01)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
        HttpTransport(timeout_seconds=0.2) as transport,
    ):
        tasks.start_soon(listener.serve, drip)
        port = listener.extra(SocketAttribute.local_port)
        with anyio.fail_after(5), pytest.raises(ExchangeUnreachable, match="TimeoutError"):
            await transport.request("drip", "GET", f"http://127.0.0.1:{port}/")
        tasks.cancel_scope.cancel()
