"""The walk and what is traded on it."""

from itertools import pairwise

import pytest

from cryptomarket.model import Source
from cryptomarket.simulator.catalogue import instruments_on, parse_instrument
from cryptomarket.simulator.market import Market

NOW = 1_795_200_000_000


def test_the_same_seed_gives_the_same_prices() -> None:
    """A market is its seed; another seed is another market."""
    first, second, other = Market(1), Market(1), Market(2)
    moments = range(NOW, NOW + 60_000, 1007)
    prices = [first.index_price("btc_usd", moment) for moment in moments]
    assert prices == [second.index_price("btc_usd", moment) for moment in reversed(moments)][::-1]
    assert prices != [other.index_price("btc_usd", moment) for moment in moments]
    assert len(set(prices)) > 40


def test_the_index_ticks_every_1007_ms() -> None:
    """Between two ticks nothing moves, and ticks are 1007 ms apart."""
    market = Market(1)
    moments = sorted({market.index_tick("eth_usd", NOW + ms)[0] for ms in range(0, 20_000, 10)})
    assert {later - earlier for earlier, later in pairwise(moments)} == {1007}


def test_history_ends_in_the_live_price() -> None:
    """The last tick of a stored slot is what the live index said at that moment."""
    market = Market(3)
    for ticker in ("btc_usd", "BTC-PERPETUAL"):
        rows = list(market.prices(ticker, NOW - 3_600_000, NOW, 60))
        assert [row.timestamp for row in rows] == list(range(NOW // 1000 - 3600, NOW // 1000, 60))
        last = rows[-1]
        assert last.source == Source.SIMULATED
        assert last.timestamp <= last.exchange_timestamp // 1000 < last.timestamp + 60
        if ticker == "btc_usd":
            assert market.index_tick(ticker, last.timestamp * 1000 + 59_999) == (
                last.exchange_timestamp,
                float(last.price),
            )


@pytest.mark.parametrize("ticker", ["nope_usd", "NOPE-PERPETUAL", "BTC-1JAN30"])
def test_what_is_not_listed_has_no_history(ticker: str) -> None:
    """A demo with such a ticker in its settings has the others."""
    assert list(Market(1).prices(ticker, NOW - 3_600_000, NOW, 60)) == []


def test_what_is_traded_follows_the_calendar() -> None:
    """Every day at 08:00 UTC the day's future and options are gone and others are there."""
    expiry = NOW - NOW % 86_400_000 + 28_800_000
    before, after = instruments_on(expiry - 1), instruments_on(expiry)
    gone = set(before) - set(after)
    assert gone
    assert {before[name].expires for name in gone} == {expiry}
    assert {found.expires for found in after.values()} & {expiry} == set()


def test_as_much_is_traded_on_any_day() -> None:
    """On Fridays and in the last week of a quarter too there are three expiries, each later than the one before."""
    for day in range(120):
        expiries = [
            found.expires for found in instruments_on(NOW + day * 86_400_000).values() if found.kind == "option"
        ]
        assert len(expiries) == 120
        assert len(set(expiries)) == 3
        assert expiries == sorted(expiries)


@pytest.mark.parametrize("name", ["BTC-25DEC26-76000-C", "BTC-25DEC26", "SOL_USDC-9MAR24-1d02-C", "ETH-6APR21-2400-P"])
def test_the_name_of_an_instrument_can_be_read(name: str) -> None:
    """Names carry coin, expiry, strike and side."""
    found = parse_instrument(name)
    assert found is not None
    assert found.name == name
    assert found.kind == ("option" if name[-2:] in ("-C", "-P") else "future")


@pytest.mark.parametrize("name", ["btc_usd", "BTC-32DEC26", "BTC-25FOO26", "BTC", "BTC-25DEC26-x-C", ""])
def test_what_is_no_name_is_none(name: str) -> None:
    """Other text is not taken for an instrument."""
    assert parse_instrument(name) is None


def test_an_option_far_away_has_never_traded() -> None:
    """Its statistics and last price are null, and nobody bids for it."""
    market = Market(1)
    far = [found for found in market.instruments(NOW).values() if found.kind == "option" and found.coin == "btc"]
    ticker = market.ticker(max(far, key=lambda found: (found.option_type == "call", found.strike, -found.expires)), NOW)
    assert ticker["last_price"] is None
    assert ticker["stats"]["high"] is None
    assert (ticker["best_bid_price"], ticker["best_bid_amount"]) == (0.0, 0.0)
