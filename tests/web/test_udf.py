from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.history.candles import MinuteBar
from cryptomarket.model import Tick

from .site import NOON, Site, prices, running_site


async def history(site: Site, **query: Any) -> Any:
    """The response of `/udf/history`."""
    requested = {"symbol": "btc_usd", "resolution": "1", "from": NOON, "to": NOON + 600, **query}
    answer = await site.get("/udf/history", **requested)
    assert answer.status_code == 200
    return answer.json()


async def test_columns_are_sorted_unique_and_exact(tmp_path: Path) -> None:
    """Times rise, no bar begins at `to`, and every price has its digits."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 20)) as site:
        found = await history(site)
        text = (await site.client.get(f"/udf/history?symbol=btc_usd&resolution=1&from={NOON}&to={NOON + 120}")).text
    assert found["s"] == "ok"
    assert found["t"] == [NOON + 60 * n for n in range(10)]
    assert set(found) == {"s", "t", "o", "h", "l", "c"}
    assert all(len(found[name]) == 10 for name in "ohlc")
    assert '"c":[64000.10,64001.10]' in text


async def test_countback_counts_from_the_end(tmp_path: Path) -> None:
    """With `countback` the range begins where it must, not at `from`."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 20)) as site:
        found = await history(site, **{"from": NOON + 590, "countback": 5})
    assert found["t"] == [NOON + 60 * n for n in range(5, 10)]


async def test_no_data_says_where_older_data_are(tmp_path: Path) -> None:
    """A hole is jumped over at once; before everything there is nothing to jump to."""
    async with running_site(tmp_path, prices("btc_usd", NOON, 3)) as site:
        later = await history(site, **{"from": NOON + 7200, "to": NOON + 9000})
        before = await history(site, **{"from": NOON - 9000, "to": NOON - 7200})
    assert later == {"s": "no_data", "nextTime": NOON + 120}
    assert before == {"s": "no_data"}


async def test_the_newest_bar_moves_with_the_ticks(tmp_path: Path) -> None:
    """What is not stored yet is in the last bar."""
    tick = Tick("btc_usd", Decimal("70000.5"), (NOON + 130) * 1000)
    async with running_site(tmp_path, prices("btc_usd", NOON, 2), bars=lambda _: [MinuteBar.of(tick, 1, 1)]) as site:
        found = await history(site)
    assert found["t"][-1] == NOON + 120
    assert found["c"][-1] == 70000.5


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"symbol": "nosuch"}, "unknown_symbol"),
        ({"resolution": "7"}, "resolution must be one of 1, 5, 15, 60, 240, 1D"),
    ],
)
async def test_a_refusal_has_the_shape_of_the_protocol(tmp_path: Path, query: dict[str, str], message: str) -> None:
    """A client of UDF reads `s` and `errmsg` and nothing else."""
    async with running_site(tmp_path) as site:
        assert await history(site, **query) == {"s": "error", "errmsg": message}


async def test_a_symbol_is_described(tmp_path: Path) -> None:
    """Name, session, time zone and as many decimals as its prices have."""
    async with running_site(tmp_path) as site:
        site.tick("btc_usd", "64250.1234")
        found = (await site.get("/udf/symbols", symbol="Deribit:btc_usd")).json()
        unknown = await site.get("/udf/symbols", symbol="nosuch")
    assert (found["ticker"], found["session"], found["timezone"]) == ("btc_usd", "24x7", "Etc/UTC")
    assert (found["pricescale"], found["minmov"], found["type"]) == (10_000, 1, "index")
    assert (unknown.status_code, unknown.json()) == (404, {"s": "error", "errmsg": "unknown_symbol"})


async def test_search_finds_by_part_of_the_name(tmp_path: Path) -> None:
    """In any case, the configured first, limited."""
    async with running_site(tmp_path) as site:
        found = (await site.get("/udf/search", query="BTC", type="", exchange="", limit=30)).json()
        one = (await site.get("/udf/search", query="", limit=1)).json()
        other = (await site.get("/udf/search", query="btc", exchange="Binance")).json()
    assert [entry["symbol"] for entry in found] == ["btc_usd", "BTC-PERPETUAL"]
    assert [entry["type"] for entry in found] == ["index", "future"]
    assert len(one) == 1
    assert other == []


async def test_config_and_time(tmp_path: Path) -> None:
    """What a client asks first."""
    async with running_site(tmp_path) as site:
        config = (await site.get("/udf/config")).json()
        time = await site.get("/udf/time")
    assert config["supports_time"] is True
    assert config["supported_resolutions"] == ["1", "5", "15", "60", "240", "1D"]
    assert time.text == str(NOON)
    assert time.headers["content-type"].startswith("text/plain")
