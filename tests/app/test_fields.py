"""A gateway on the simulated exchange: each kind of instrument has its fields, on streams and at the newest price."""

import json
from pathlib import Path
from typing import Any

import anyio

from cryptomarket.fields import FIELD_GROUPS
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.app.test_tickers import running_gateway
from tests.reader import Reader, reading

GROUPS = ",".join(FIELD_GROUPS)
#: The groups of each kind; the others are null.
OF_KIND = {
    "perpetual": {"quote", "stats", "funding", "interest"},
    "future": {"quote", "stats", "interest"},
    "option": {"quote", "stats", "greeks", "interest"},
    "spot": {"quote", "stats", "interest"},
}


def one_of_each(exchange: Exchange) -> dict[str, str]:
    """Names of instruments that the simulator offers, by kind."""
    found: dict[str, str] = {}
    for name, instrument in exchange.state.market.instruments(exchange.state.now_ms()).items():
        kind = "perpetual" if instrument.perpetual else instrument.kind
        if name.startswith(("BTC-", "BTC_")) and kind in OF_KIND:
            found.setdefault(kind, name)
    return found


async def next_price(stream: Reader, ticker: str) -> tuple[str, dict[str, Any]]:
    """Return the id of the next price, and its data with numbers as text."""
    event = await stream.next(ticker)
    return event.id, json.loads(event.data, parse_float=str, parse_int=str)


async def test_each_kind_of_instrument_has_its_groups(tmp_path: Path) -> None:
    """The newest price over HTTP is that of the stream; an index has none; a resumed stream has every tick."""
    async with running_exchange() as exchange, running_gateway(tmp_path, exchange, "btc_usd") as (_, client):
        names = one_of_each(exchange)
        assert names.keys() == OF_KIND.keys()
        channels = ",".join(["btc_usd", *names.values()])
        url = str(client.base_url.join(f"/sse/?timer=0&fields={GROUPS}&channels={channels}"))
        path = "/api/v1/prices/latest"
        with anyio.fail_after(60):
            async with reading(url) as stream:
                _, index = await next_price(stream, "btc_usd")
                assert not FIELD_GROUPS.keys() & index.keys()
                for kind, name in names.items():
                    last_id, price = await next_price(stream, name)
                    assert {group for group in FIELD_GROUPS if price[group] is not None} == OF_KIND[kind], kind
                    assert price["quote"]["bid"] == price["bid"]
                    answer = await client.get(path, params={"ticker": name, "fields": GROUPS})
                    assert {*answer.json()} == {*price}
            async with reading(url, last_event_id=last_id) as resumed:
                for _ in range(5):
                    event = await resumed.event()
                    assert event.event == "connection" or ("quote" in event.data) == (event.event != "btc_usd")
                    assert '"kind":"gap"' not in event.data
