"""The groups of fields of every recorded ticker have the numbers of the file, digit for digit."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest

from cryptomarket.deribit.messages import read_price
from cryptomarket.fields import FIELD_GROUPS, FieldValues, checked_values
from tests.recorded import recorded_lines
from tests.recorded_fields import expected_fields, value_of


def recorded_tickers() -> Iterator[tuple[str, bytes]]:
    """The instrument and the data of each recorded ticker, of a channel or of an answer."""
    for line in recorded_lines():
        message = json.loads(line["raw"]) if "part" not in line else {}
        data = message.get("params", message).get("data", message.get("result")) if isinstance(message, dict) else None
        if not isinstance(data, dict) or not {"mark_price", "stats"} <= data.keys():
            continue
        start = line["raw"].index('"data":') + 7 if "params" in message else line["raw"].index('"result":') + 9
        text, depth = line["raw"], 0
        for end in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0 and text[end] == "}":
                yield data["instrument_name"], text[start : end + 1].encode()
                break


def plain_digits(text: str) -> str:
    """The digits of a number as the exchange wrote it, without the exponent."""
    return format(Decimal(text), "f")


def test_every_recorded_value_is_kept_digit_for_digit() -> None:
    """Of perpetuals, futures, options and combos, of seven years; none has an exponent."""
    seen: Counter[str] = Counter()
    for ticker, text in recorded_tickers():
        data = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        tick = read_price(ticker, text).tick
        assert tick is not None
        assert checked_values(tick.fields) == tick.fields
        written = json.loads(text, parse_float=plain_digits, parse_int=plain_digits)
        shown = json.loads(tick.json(tuple(FIELD_GROUPS)), parse_float=str, parse_int=str)
        for group, values in expected_fields(data).items():
            if values is None:
                assert shown[group] is None, (ticker, group)
                continue
            seen[group] += 1
            for name, value in values.items():
                digits = None if value is None else value_of(written, name)
                assert shown[group][name] == digits, (ticker, name)
        assert shown["quote"]["bid"] == shown["bid"]
        assert shown["quote"]["ask"] == shown["ask"]
    assert seen["quote"] == seen["stats"] == seen["interest"] > 300
    assert seen["greeks"] > 280
    assert seen["funding"] > 30


def fields(**given: str) -> FieldValues:
    """The values of a ticker with these raw JSON fields."""
    raw = {"timestamp": "1790755218559", "instrument_name": '"X"', "mark_price": "1.0", **given}
    tick = read_price("X", ("{" + ",".join(f'"{key}":{value}' for key, value in raw.items()) + "}").encode()).tick
    assert tick is not None
    return tick.fields


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("8.55e4", "85500"),
        ("-4.467407940520975e-5", "-0.00004467407940520975"),
        ("83216.0", "83216.0"),
        ("-0.0", "-0.0"),
        ('"undefined"', "null"),
        ('"expired"', "null"),
        ('"1,2"', "null"),
        ("null", "null"),
        ("true", "null"),
        ("[1,2]", "null"),
        ("{}", "null"),
        ("1e999", "null"),
        ("7" * 300, "null"),
    ],
)
def test_a_value_is_a_plain_number_or_null(raw: str, shown: str) -> None:
    """Whatever the exchange sends in place of one, the others of its group stay."""
    assert fields(current_funding=raw, funding_8h="0.5")[3] == f"{shown},0.5"


@pytest.mark.parametrize("raw", ["null", '"expired"', "[]", "7", "true"])
def test_a_group_of_another_shape_costs_neither_the_price_nor_other_groups(raw: str) -> None:
    """`stats` and `greeks` are objects; anything else is read as none."""
    found = fields(stats=raw, greeks=raw, mark_iv="50.5", last_price="7.0")
    assert found == ("7.0,null,null,null,null", None, "50.5,null,null,null,null,null,null,null", None, None)


def test_an_empty_side_has_no_price() -> None:
    """Its amount is shown as it came."""
    empty = fields(best_bid_price="0.0", best_bid_amount="0.0", best_ask_price="0.0", best_ask_amount="5.0")
    assert empty[0] == "null,null,0.0,0.0,5.0"
