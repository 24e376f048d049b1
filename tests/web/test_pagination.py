"""What a list promises of its range, with values alone."""

import pytest

from cryptomarket.web.api.pagination import closed, due_part
from cryptomarket.web.api.time_range import Range


@pytest.mark.parametrize(
    ("within", "span", "part"),
    [
        (Range(600, 780), (0, 900), (600, 780)),
        (Range(610, 710), (0, 900), (660, 720)),  # a slot that begins before the range is not of it
        (Range(600, 100_000), (0, 900), (600, 900)),  # the rest has not happened yet
        (Range(5000, 6000), (0, 900), (5000 + 40, 900)),  # nothing of it has
        (Range(None, None), (780, 900), (780, 900)),  # recording began then
        (Range(None, None), None, None),  # nothing was ever recorded
    ],
)
def test_a_range_counts_as_far_as_it_is_due(
    within: Range, span: tuple[int, int] | None, part: tuple[int, int] | None
) -> None:
    """With slots of 60 s at second 964, when the slot of 900 is over but may still be on its way to the database."""
    assert due_part(within, span, step=60, now=964.0) == part


@pytest.mark.parametrize(("end", "expected"), [(None, False), (900, False), (840, True), (100_000, False)])
def test_a_range_is_closed_when_nothing_new_falls_into_it(end: int | None, expected: bool) -> None:
    """The last minutes may still be corrected by late ticks."""
    assert closed(Range(0, end), step=60, now=964.0) is expected
