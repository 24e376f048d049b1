"""Recorded raw channels, served again by the simulated exchange and read by the client that is logged in."""

import json
from decimal import Decimal

from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.simulator.exchange import running_exchange
from tests.recorded import recorded_folder, recorded_lines

from .following import following


async def test_every_recorded_raw_price_arrives_after_a_login() -> None:
    """Every change one by one, in order, to the last digit; a notification without a price yields no tick."""
    expected: list[tuple[str, Decimal, int]] = []
    for line in recorded_lines("cryptofeed-2021-04*"):
        params = json.loads(line["raw"], parse_float=Decimal).get("params", {})
        channel = params.get("channel", "")
        if line["direction"] == "in" and channel.startswith("ticker.") and channel.endswith(".raw"):
            data = params["data"]
            expected.append((data["instrument_name"], Decimal(data["mark_price"]), data["timestamp"]))
    assert expected
    folder = recorded_folder()
    assert folder is not None
    path = next(folder.glob("cryptofeed-2021-04*"))
    async with running_exchange(replay=path, speed=0) as exchange:
        account = exchange.accounts[0]
        key = Credentials(account.client_id, Secret(account.client_secret))
        tickers = sorted({ticker for ticker, _, _ in expected})
        async with following(exchange.ws_url, *tickers, credentials=key, raw=True) as follower:
            await follower.until(lambda: len(follower.ticks) >= len(expected), within=60)
            assert follower.deribit_client.authenticated
    assert [(tick.ticker, tick.price, tick.exchange_timestamp) for tick in follower.ticks] == expected
