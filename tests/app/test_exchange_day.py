"""A morning of the exchange, with its daily expiries and listings; `make exchange-day` lets a whole day pass."""

import pytest

from .exchange_day import ExchangeDay


@pytest.mark.system
async def test_a_morning_of_the_exchange() -> None:
    """490 options expire and as many are listed: each end is said once, and the newest is streamed within a minute."""
    report = await ExchangeDay(start=7.8, streams=40, step=20).run(0.6)
    assert report.wrong == []
    assert set(report.states) == {"live"}
    assert report.listed_followed == 1
    assert report.kept[-1]["resting"] == report.kept[-1]["ended"] == 40  # those that streams still want
