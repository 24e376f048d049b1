"""The mark prices of all options of an index, as documented and as simulated."""

import json
from decimal import Decimal

import pytest

from cryptomarket.deribit.mark_prices import MarkPrice, read_mark_prices
from cryptomarket.deribit.messages import UnreadableMessage, read_price
from cryptomarket.simulator.exchange import running_exchange
from tests.simulator.client import connected


def test_a_message_is_read_as_documented() -> None:
    """Each number is exact; an option without a price is left out."""
    data = (
        b'[{"mark_price":0.0333,"iv":0.90410000000000000001,"instrument_name":"BTC-4JAN19-3500-P"},'
        b'{"mark_price":1.5e-5,"iv":null,"instrument_name":"BTC-4JAN19-3500-C","more":[1]},'
        b'{"mark_price":null,"iv":0.5,"instrument_name":"BTC-4JAN19-9000-C"}]'
    )
    assert read_mark_prices(data) == [
        MarkPrice("BTC-4JAN19-3500-P", Decimal("0.0333"), Decimal("0.90410000000000000001")),
        MarkPrice("BTC-4JAN19-3500-C", Decimal("0.000015"), None),
    ]


@pytest.mark.parametrize("data", [b"{}", b"[1]", b'[{"iv":1}]', b"[", b"null", b'[{"instrument_name":7}]'])
def test_another_shape_is_refused(data: bytes) -> None:
    """A message that is not the documented list is unreadable."""
    with pytest.raises(UnreadableMessage):
        read_mark_prices(data)


async def test_the_volatility_is_a_hundredth_of_that_in_a_ticker() -> None:
    """One message has the options of the index; the ticker of one of them has percent."""
    channel = "markprice.options.btc_usd"
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=[channel])
        message = await client.notification(channel)
        found = read_mark_prices(json.dumps(message["params"]["data"]).encode())
        assert len(found) > 20
        name = found[0].ticker
        raw = json.dumps(await client.result("public/ticker", instrument_name=name)).encode()
    ticker = read_price(name, raw).tick
    assert ticker is not None
    assert ticker.fields[2] is not None
    percent = Decimal(ticker.fields[2].split(",")[0])
    assert found[0].iv is not None
    assert abs(found[0].iv * 100 - percent) < 5
