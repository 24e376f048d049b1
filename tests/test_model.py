"""The shared values: exact prices, slots, their JSON, and rhythms."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.errors import InvalidPrice
from cryptomarket.model import Rhythm, Tick, exact_price, is_index, plain


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("8.7e3", "8700"),
        ("64250.130", "64250.130"),
        ("2.0e-5", "0.000020"),
        ("-4.467407940520975e-5", "-0.00004467407940520975"),
        ("1e30", "1" + "0" * 30),
    ],
)
def test_a_number_of_the_exchange_keeps_its_exact_value(text: str, written: str) -> None:
    """Every digit of the exchange's number is kept, and no exponent is written."""
    price = exact_price(text)
    assert plain(price) == written
    assert price == Decimal(text)
    assert str(price) == written or price.adjusted() < -6


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "9" * 40, "1e-400", "12,5", "", "undefined"])
def test_invalid_prices_are_refused(text: str) -> None:
    """Only a finite number of at most 36 digits becomes a price."""
    with pytest.raises(InvalidPrice):
        exact_price(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9))
def test_prices_of_eighteen_digits_survive_json(price: Decimal) -> None:
    """A price read from our JSON equals the price that was written."""
    tick = Tick("btc_usd", exact_price(str(price)), 1763668800123)
    assert json.loads(tick.json(), parse_float=Decimal, parse_int=Decimal)["price"] == price


def test_the_json_of_an_index() -> None:
    """The JSON of an index has the four members of a price."""
    tick = Tick("btc_usd", Decimal("64250.13"), 1763668800123)
    assert tick.json() == (
        '{"ticker":"btc_usd","price":64250.13,"timestamp":1763668800,"exchange_timestamp":1763668800123}'
    )


def test_the_json_of_an_instrument_has_last_bid_and_ask() -> None:
    """The JSON of an instrument adds last, bid and ask, null where there is none."""
    tick = Tick("BTC-PERPETUAL", Decimal("1.5"), 1000, last=None, bid=Decimal("1.4"), ask=Decimal("1.6"))
    assert json.loads(tick.json()) == {
        "ticker": "BTC-PERPETUAL",
        "price": 1.5,
        "timestamp": 1,
        "exchange_timestamp": 1000,
        "last": None,
        "bid": 1.4,
        "ask": 1.6,
    }


def test_a_slot_starts_at_a_multiple_of_the_interval() -> None:
    """The slot is the start of the interval that contains the second of the tick."""
    assert Tick("btc_usd", Decimal(1), 119_999).slot(60) == 60
    assert Tick("btc_usd", Decimal(1), 120_000).slot(60) == 120


def test_a_name_in_lower_case_is_an_index() -> None:
    """A name with capitals is an instrument."""
    assert is_index("drbfix-btc_usdc")
    assert is_index("1000bonk_usdc")
    assert not is_index("BTC-PERPETUAL")
    assert not is_index("MATIC_USDC-9MAR24-1d02-C")


def test_silence_of_five_usual_pauses_is_overdue() -> None:
    """A channel with a tick every two seconds is overdue after ten."""
    rhythm = Rhythm()
    assert not rhythm.overdue(100.0)
    for beat in range(10):
        rhythm.beat(beat * 2.0)
    assert not rhythm.overdue(18.0 + 9.9)
    assert rhythm.overdue(18.0 + 10.1)


def test_one_outage_does_not_become_the_rhythm() -> None:
    """After an hour of silence the channel is overdue again within a few of its earlier pauses."""
    rhythm = Rhythm()
    for beat in range(20):
        rhythm.beat(float(beat))
    rhythm.beat(3600.0)
    assert rhythm.overdue(3600.0 + 8.0)
