"""deribit-v2-ws 0.0.3 of the npm registry, which logs in by its secret and answers each heartbeat."""

import pytest

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT
from cryptomarket.simulator.balances import summary
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.tickers import ticker_of
from cryptomarket.simulator.trades import book

from .environments import run_client

pytestmark = pytest.mark.system

TICKER, BOOK, INDEX = "ticker.BTC-PERPETUAL.raw", "book.BTC-PERPETUAL.100ms", "deribit_price_index.btc_usd"
FILLS = "user.trades.BTC-PERPETUAL.raw"


async def test_deribit_v2_ws_receives_prices_and_its_own_fills() -> None:
    """Answers and channels carry the market's values, and raw channels prove the login."""
    account = DEFAULT_ACCOUNT
    async with running_exchange(time_scale=5) as exchange:
        keys = account.client_id, account.client_secret
        said = await run_client("deribit_v2_ws", exchange.ws_url, *keys, TICKER, BOOK, INDEX, FILLS)
        answers = {name: value for line in said if "channel" not in line for name, value in line.items()}
        data = {line["channel"]: line["data"] for line in said if "channel" in line}
        market = exchange.state.market
        perpetual = market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]
        assert answers["summary"]["result"] == summary(account, "BTC")
        assert answers["instrument"]["result"] == perpetual.json()
        moments = [data[TICKER]["timestamp"] + late for late in (0, 136)]  # as recorded, some timestamps step back
        assert data[TICKER] in [ticker_of(market, perpetual, moment) for moment in moments]
        assert data[INDEX]["price"] == market.index_price("btc_usd", data[INDEX]["timestamp"])
        sides = tuple([row[1:] for row in data[BOOK][side]] for side in ("bids", "asks"))
        assert sides == book(market, perpetual, data[BOOK]["timestamp"])
        assert data[FILLS] == [fill.row for fill in exchange.state.orders.fills[account.client_id]]
        assert exchange.opened_sessions[0].methods()[:2] == ["public/set_heartbeat", "public/auth"]
