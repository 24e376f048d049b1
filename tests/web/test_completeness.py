"""Which part of a range is due, and when a range no longer changes."""

import pytest

from cryptomarket.web.api.completeness import due_range, is_settled
from cryptomarket.web.api.time_range import TimeRange


@pytest.mark.parametrize(
    ("within", "span", "part"),
    [
        (TimeRange(600, 780), (0, 900), (600, 780)),
        (TimeRange(610, 710), (0, 900), (660, 720)),  # a slot that begins before the range is not in it
        (TimeRange(600, 100_000), (0, 900), (600, 900)),  # the rest has not happened yet
        (TimeRange(5000, 6000), (0, 900), (5000 + 40, 900)),  # none of it has happened yet
        (TimeRange(None, None), (780, 900), (780, 900)),  # recording began then
        (TimeRange(None, None), None, None),  # nothing was ever recorded
    ],
)
def test_only_the_due_part_of_a_range_counts(
    within: TimeRange, span: tuple[int, int] | None, part: tuple[int, int] | None
) -> None:
    """With slots of 60 s at second 964, the slot of 900 is over but may still be unwritten."""
    assert due_range(within, span, step=60, now=964.0) == part


@pytest.mark.parametrize(("end", "expected"), [(None, False), (900, False), (840, True), (100_000, False)])
def test_a_range_is_settled_when_no_new_price_falls_into_it(end: int | None, expected: bool) -> None:
    """A range that ends in the last minutes may still be corrected by late ticks."""
    assert is_settled(TimeRange(0, end), step=60, now=964.0) is expected
