"""ssc2ce 0.14, which dials the address with a slash at its end, logs in by its secret and then uses its token."""

import pytest

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT
from cryptomarket.simulator.exchange import running_exchange

from .environments import run_client

pytestmark = pytest.mark.system

CHANNELS = ("deribit_price_index.btc_usd", "ticker.BTC-PERPETUAL.raw", "book.BTC-PERPETUAL.100ms")


async def test_ssc2ce_receives_channels_after_its_login() -> None:
    """Each channel carries the market's values; raw channels prove that the login worked."""
    account = DEFAULT_ACCOUNT
    async with running_exchange(time_scale=5) as exchange:
        address = f"ws://{exchange.host}:{exchange.port}"
        said = await run_client("ssc2ce", address, account.client_id, account.client_secret, *CHANNELS)
        now_ms = exchange.state.now_ms()
        index = exchange.state.market.index_price("btc_usd", now_ms)
        listed = exchange.state.market.instruments(now_ms)
    found = {line["channel"]: line["data"] for line in said if "channel" in line}
    assert found.keys() == set(CHANNELS)
    assert found["deribit_price_index.btc_usd"]["price"] == pytest.approx(index, rel=0.02)
    assert found["ticker.BTC-PERPETUAL.raw"]["index_price"] == pytest.approx(index, rel=0.02)
    assert found["book.BTC-PERPETUAL.100ms"]["type"] in ("snapshot", "change")
    (instruments,) = (line["instruments"] for line in said if "instruments" in line)
    assert {one["instrument_name"] for one in instruments} <= listed.keys()
    assert {one["base_currency"] for one in instruments} == {"BTC"}
