"""The walk and what is traded on it."""

from dataclasses import replace
from itertools import pairwise

import pytest

from cryptomarket.model import Source
from cryptomarket.simulator.catalogue import parse_instrument
from cryptomarket.simulator.listings import FEW, MANY, Listings, instruments_on
from cryptomarket.simulator.market import Market
from cryptomarket.simulator.tickers import ticker_of

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


@pytest.mark.parametrize(("listings", "listed", "ended"), [(FEW, 200, 64), (MANY, 5030, 490)])
def test_each_day_at_eight_as_much_ends_as_is_listed(listings: Listings, listed: int, ended: int) -> None:
    """Nothing leaves the list before it expires, on Fridays and in the last week of a quarter neither."""
    expiry = NOW - NOW % 86_400_000 + 28_800_000
    for day in range(0, 120, 1 if listings is FEW else 10):
        at = expiry + day * 86_400_000
        before, after = instruments_on(at - 1, listings), instruments_on(at, listings)
        assert {before[name].expires for name in set(before) - set(after)} == {at}
        assert len(before) == len(after) == pytest.approx(listed, rel=0.02)
        assert len(set(before) - set(after)) == pytest.approx(ended, rel=0.05)
        assert len({found.identifier for found in after.values()}) > 0.99 * len(after)


def test_a_combo_costs_the_sum_of_its_legs_and_ends_with_the_first() -> None:
    """Its prices may be negative; a combo of options has their greeks."""
    market = Market(1)
    combos = [found for found in market.instruments(NOW).values() if found.legs]
    assert {found.kind for found in combos} == {"future_combo", "option_combo"}
    for found in combos:
        marks = sum(amount * market.mark_price(leg, NOW) for amount, leg in found.legs)
        shown = ticker_of(market, found, NOW)
        assert shown["mark_price"] == pytest.approx(marks, abs=abs(marks) * 0.2 + 0.01)
        assert shown["min_price"] < shown["mark_price"] < shown["max_price"]
        assert ("greeks" in shown) == (found.kind == "option_combo")
        assert found.expires == min(leg.expires for _, leg in found.legs)


def test_a_linear_instrument_counts_in_coins_and_is_priced_in_usdc() -> None:
    """Its open interest has decimals; a linear option costs dollars, its strike has a ``d`` for the point."""
    market = Market(1)
    listed = market.instruments(NOW)
    assert ticker_of(market, listed["SOL_USDC-PERPETUAL"], NOW)["open_interest"] % 1
    assert type(ticker_of(market, listed["BTC-PERPETUAL"], NOW)["open_interest"]) is int
    option = next(found for name, found in listed.items() if name.startswith("XRP_USDC-") and "d" in name)
    assert option.strike % 1
    assert option.tick_size_steps
    deep = market.option(replace(option, option_type="call", strike=1.0), NOW)["mark_price"]
    assert deep == pytest.approx(market.index_price("xrp_usdc", NOW) - 1, rel=0.02)


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
    ticker = ticker_of(
        market, max(far, key=lambda found: (found.option_type == "call", found.strike, -found.expires)), NOW
    )
    assert ticker["last_price"] is None
    assert ticker["stats"]["high"] is None
    assert (ticker["best_bid_price"], ticker["best_bid_amount"]) == (0.0, 0.0)


def test_the_lists_before_and_after_a_settlement_are_both_kept() -> None:
    """Around 08:00 UTC both are asked for many times: neither is made anew, and an expiry on demand is in both."""
    market, expiry = Market(1, listings=MANY), NOW - NOW % 86_400_000 + 28_800_000
    before, after = market.instruments(expiry - 1), market.instruments(expiry)
    assert market.instruments(expiry - 500) is before
    assert market.instruments(expiry + 500) is after
    for day in range(1, 9):
        market.instruments(NOW + day * 86_400_000)
    assert market.instruments(expiry) is not after  # old days are forgotten
    market.expire("BTC-PERPETUAL", expiry)
    assert "BTC-PERPETUAL" not in market.instruments(expiry)
    assert market.ended("BTC-PERPETUAL", expiry)
