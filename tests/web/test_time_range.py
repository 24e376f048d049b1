import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.errors import InvalidParameter
from cryptomarket.web.api.time_range import TimeRange, parse_range, parse_time

NOON = 1_763_640_000


@pytest.mark.parametrize(
    "text",
    [
        "1763640000",
        "1763640000000",
        "1763640000.0",
        "2025-11-20T12:00:00Z",
        "2025-11-20T12:00:00",
        "2025-11-20 12:00:00",
        "2025-11-20T12:00",
        "2025-11-20T15:00:00+03:00",
        "2025-11-20T15:00:00 03:00",
        "2025-11-20T15:00:00.000 0300",
        " 2025-11-20T12:00:00Z ",
    ],
)
def test_one_time_can_be_written_in_many_ways(text: str) -> None:
    """ISO 8601 with and without a zone, with its plus lost in a query, UNIX seconds and milliseconds are equal."""
    assert parse_time(text, "start") == NOON * 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2025-13-01",
        "2025-02-30",
        "-1",
        "1e9",
        "NaN",
        "٢٠٢٥-١١-٢٠",
        "99999999999999999999",
        "0x10",
        "2025"[:0],
    ],
)
def test_nonsense_names_the_parameter_and_what_was_expected(text: str) -> None:
    """What is no moment is refused by a sentence that names the parameter."""
    with pytest.raises(InvalidParameter, match=r"^start: expected an ISO 8601 time or date"):
        parse_time(text, "start")


def test_a_bare_date_as_the_end_includes_that_day() -> None:
    """From a date to the same date is one whole day."""
    assert parse_range("2025-11-20", "2025-11-20") == TimeRange(1_763_596_800, 1_763_683_200)


def test_a_fraction_of_a_second_rounds_to_the_next_whole_one() -> None:
    """Prices stand at whole seconds: at or after 1.5 s is 2, before 1.5 s is before 2."""
    assert parse_range("1.5", "3.001") == TimeRange(2, 4)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-11-21", "2025-11-20"),
        ("2025-11-21T00:00:00Z", "2025-11-20"),
        ("1763683200", "2025-11-20"),
        ("2025-11-22", "2025-11-20"),
        ("1763640000.001", "1763640000"),
    ],
)
def test_d10_a_start_on_the_day_after_the_end_is_refused(start: str, end: str) -> None:
    """A bare date as the end includes its day, and nothing of the next."""
    with pytest.raises(InvalidParameter, match=r"^start: expected a time that is not after end"):
        parse_range(start, end)


def test_d10_equal_times_are_an_empty_range_and_equal_dates_a_day() -> None:
    """The start is included and the end is not; a bare date is its whole day."""
    assert parse_range("1763640000", "2025-11-20T12:00:00Z") == TimeRange(NOON, NOON)
    assert parse_range("2025-11-20", "2025-11-20") == TimeRange(NOON - 43_200, NOON + 43_200)
    assert parse_range("2025-11-20T23:59:59Z", "2025-11-20") == TimeRange(NOON + 43_199, NOON + 43_200)


def test_a_start_after_the_end_names_the_start() -> None:
    """The error of a reversed range names the parameter of the caller."""
    with pytest.raises(InvalidParameter, match=r"^start_date: expected a time that is not after end_date"):
        parse_range("2025-11-21T00:00:01Z", "2025-11-20", ("start_date", "end_date"))


def test_an_omitted_end_is_open() -> None:
    """Leaving the end out is a range up to now, not an error."""
    assert parse_range("2025-11-20", None) == TimeRange(1_763_596_800, None)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_a_named_refusal(text: str) -> None:
    """No text makes anything but a moment within the calendar or InvalidParameter."""
    with contextlib.suppress(InvalidParameter):
        assert 0 <= parse_time(text, "end", ending=True) <= 253_402_300_800_000
