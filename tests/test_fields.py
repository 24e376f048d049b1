"""The parameter that asks for groups of fields, and what stands in a price for each."""

import json
from decimal import Decimal
from typing import get_args, get_type_hints

import pytest

from cryptomarket.errors import InvalidParameter, InvalidPrice
from cryptomarket.fields import FIELD_GROUPS, checked_values, fields_json, parse_fields
from cryptomarket.model import Tick
from cryptomarket.web.api.models import PriceResponse

OPTION = (
    "0.1325,0.132,null,12.4,0.0",
    "-1.852,0.1385,0.13,48.2,529840.5,null",
    "42.31,0.0,42.75,0.72451,0.00001,68.74501,-31.02733,41.5021",
    None,
    "1204.7,83250.78,84222.88",
)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (None, ()),
        ("quote", ("quote",)),
        ("interest,quote", ("quote", "interest")),
        (" funding , greeks", ("greeks", "funding")),
        ("interest,funding,greeks,stats,quote", tuple(FIELD_GROUPS)),
    ],
)
def test_the_order_of_names_does_not_matter(text: str | None, fields: tuple[str, ...]) -> None:
    """The same groups are the same fields."""
    assert parse_fields(text) == fields


@pytest.mark.parametrize("text", ["", ",", "quote,", "quote,quote", "Quote", "bid", "quote;stats", "quote," * 9])
def test_anything_but_names_each_once_is_refused(text: str) -> None:
    """The error names the parameter and the groups that there are."""
    with pytest.raises(InvalidParameter) as caught:
        parse_fields(text)
    assert caught.value.parameter == "fields"
    assert "quote, stats, greeks, funding, interest" in caught.value.expected


def test_a_price_has_the_groups_that_were_asked_for_behind_its_usual_members() -> None:
    """Without fields the text is the usual one; a group that the exchange does not send is null."""
    tick = Tick("BTC-25DEC26-76000-C", Decimal("0.1331"), 1_763_668_800_000, Decimal("0.1325"), fields=OPTION)
    usual = tick.json()
    assert usual == (
        '{"ticker":"BTC-25DEC26-76000-C","price":0.1331,"timestamp":1763668800,'
        '"exchange_timestamp":1763668800000,"last":0.1325,"bid":null,"ask":null}'
    )
    assert tick.json(("quote", "funding")) == (
        usual[:-1]
        + ',"quote":{"last":0.1325,"bid":0.132,"ask":null,"bid_amount":12.4,"ask_amount":0.0},"funding":null}'
    )
    everything = json.loads(tick.json(tuple(FIELD_GROUPS)), parse_float=str)
    assert [*everything][7:] == [*FIELD_GROUPS]
    for group, names in FIELD_GROUPS.items():
        assert everything[group] is None or tuple(everything[group]) == names


def test_an_index_keeps_its_shape() -> None:
    """It has no groups, whatever is asked for."""
    tick = Tick("btc_usd", Decimal(1), 1_763_668_800_000)
    assert tick.json(("quote", "stats")) == tick.json()
    assert fields_json((), ("quote",)) == ""


@pytest.mark.parametrize(
    "values",
    [
        ("1,2,3,4,5",),
        ("1,2,3,4", None, None, None, None),
        ("1,2,3,4,5,6", None, None, None, None),
        ('1,2,3,4,"x"', None, None, None, None),
        ("1,2,3,4,1e5", None, None, None, None),
        ("1,2,3,4,5\n", None, None, None, None),
        ("1,2,3,4,٥", None, None, None, None),
        ("1,2,3,4, 5", None, None, None, None),
        ("1,2,3,4,05", None, None, None, None),
        ("1,2,3,4,5]", None, None, None, None),
    ],
)
def test_values_that_no_node_wrote_are_refused(values: tuple[str | None, ...]) -> None:
    """They go into events as they are, so anything but plain numbers is refused."""
    with pytest.raises(InvalidPrice):
        checked_values(values)


def test_the_groups_of_an_option_are_values() -> None:
    """What `read_price` makes passes, and so does nothing at all."""
    assert checked_values(OPTION) == OPTION
    assert checked_values(()) == ()


def test_the_description_has_each_name_of_each_group() -> None:
    """The OpenAPI document is made from models of its own."""
    described = get_type_hints(PriceResponse)
    for group, names in FIELD_GROUPS.items():
        (model,) = [kind for kind in get_args(described[group]) if hasattr(kind, "__struct_fields__")]
        assert model.__struct_fields__ == names
