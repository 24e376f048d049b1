"""The exchange's notation of numbers and the order of its keys."""

import json
import re

import pytest
from hypothesis import given, strategies

from cryptomarket.simulator.encoding import DecimalFloat, number, text_frame, write
from tests.recorded import recorded_lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8700.0, "8.7e3"),
        (85500.0, "8.55e4"),
        (261910.0, "261910.0"),
        (781497780.0, "781497780.0"),
        (1000200.0, "1.0002e6"),
        (0.00002, "2.0e-5"),
        (-0.00021714, "-2.1714e-4"),
        (-4.467407940520975e-05, "-4.467407940520975e-5"),
        (0.0005, "0.0005"),
        (100.0, "100.0"),
        (1000.0, "1.0e3"),
        (0.0, "0.0"),
        (83251.03, "83251.03"),
        (1e22, "1.0e22"),
        (6e-8, "6.0e-8"),
    ],
)
def test_a_float_is_written_in_its_shorter_form(value: float, text: str) -> None:
    """The exchange takes exponent or decimal form, whichever is shorter."""
    assert number(value) == text


def test_every_float_of_the_recorded_stream_is_written_as_recorded() -> None:
    """Whatever number the real exchange printed in 2026, we print the same text."""
    texts: set[str] = set()
    for line in recorded_lines("fastmm-2026-09-30*"):
        texts.update(re.findall(r"(?<=[:\[,])-?\d+\.\d+(?:e-?\d+)?(?=[,}\]])", line["raw"]))
    assert len(texts) > 150
    assert {text for text in texts if number(float(text)) != text} == set()


@given(strategies.floats(allow_nan=False, allow_infinity=False))
def test_a_float_survives_the_notation(value: float) -> None:
    """Whatever form is chosen, it says the same number."""
    assert float(number(value)) == value
    assert float(write(DecimalFloat(value))) == value


def test_json_is_compact_and_keeps_text() -> None:
    """Objects keep their order, text its characters; what is no JSON is refused."""
    value = {"a": [1, 2.5, None, True, 'x"\n€'], "b": {"c": 225046781992378368}}
    assert write(value) == '{"a":[1,2.5,null,true,"x\\"\\n€"],"b":{"c":225046781992378368}}'
    assert json.loads(write(value)) == value
    with pytest.raises(TypeError):
        write(object())


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536])
def test_a_frame_says_its_length(size: int) -> None:
    """All three lengths of a WebSocket frame are written rightly."""
    frame = text_frame("x" * size)
    head = 2 if size < 126 else 4 if size < 65536 else 10
    assert len(frame) == head + size
    assert frame[0] == 0x81
    assert int.from_bytes(frame[2:head], "big") == (size if size >= 126 else 0)
