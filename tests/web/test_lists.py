from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from cryptomarket.model import Price
from cryptomarket.web.lists import Asked, Order, missing_nothing
from cryptomarket.web.moments import Range


@dataclass
class Page:
    data: list[Price] = field(default_factory=list)
    next: int | None = None


def page(*stamps: int, following: int | None = None) -> Page:
    return Page([Price("btc_usd", stamp, Decimal(1), stamp * 1000) for stamp in stamps], following)


@pytest.mark.parametrize(
    ("asked", "found", "complete"),
    [
        (Asked(Range(600, 780)), page(600, 660, 720), True),
        (Asked(Range(600, 780)), page(600, 720), False),  # a hole in the middle
        (Asked(Range(600, 780)), page(660, 720), False),  # the first is missing
        (Asked(Range(600, 780)), page(600, 660), False),  # the last is missing
        (Asked(Range(600, 780)), page(), False),
        (Asked(Range(610, 720)), page(660), True),  # a slot that begins before the range is not of it
        (Asked(Range(600, 100_000)), page(*range(600, 960, 60)), True),  # the rest has not happened yet
        (Asked(Range(5000, 6000)), page(), True),  # nothing has happened yet
        (Asked(Range(None, None)), page(), False),  # nothing was ever recorded
        (Asked(Range(None, None)), page(*range(780, 960, 60)), True),  # recording began then
        (Asked(Range(600, 960), limit=2), page(600, 660, following=660), True),  # the page, not the whole
        (Asked(Range(600, 960), limit=2), page(600, 720, following=720), False),
        (Asked(Range(600, 780), after=600), page(660, 720), True),  # the second page
        (Asked(Range(600, 780), after=600), page(720), False),  # a hole between two pages
        (Asked(Range(600, 780), order="desc"), page(720, 660, 600), True),
        (Asked(Range(600, 780), order="desc"), page(720, 600), False),
        (Asked(Range(600, 780), order="desc", limit=1), page(720, following=720), True),
        (Asked(Range(600, 780), order="desc", after=720), page(660, 600), True),
        (Asked(Range(600, 780), order="desc", after=720), page(600), False),
    ],
)
def test_complete_means_that_no_slot_already_due_is_missing(asked: Asked, found: Page, complete: bool) -> None:
    """With slots of 60 s at second 964, when the slot of 900 is over but may still be on its way to the database."""
    assert missing_nothing(asked, found, interval=60, now=964.0) is complete


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_range_of_centuries_costs_nothing(order: Order) -> None:
    """Completeness compares counts before it compares slots."""
    asked = Asked(Range(0, 253_402_300_799), order)
    assert not missing_nothing(asked, page(600), interval=1, now=253_402_300_799)
