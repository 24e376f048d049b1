"""The checker finds each kind of violation in an otherwise correct record."""

from collections.abc import Sequence
from typing import Any

import pytest

from .browsers import Browser, Closed, ConnectionEvent, Opened, Received, ReceivedTick
from .checker import Missing, Row, Truth, unexplained, violations_of

OPENED = Opened(0, "n0", "")
LIVE = ConnectionEvent(0, {"kind": "upstream", "state": "live"})


def tick(epoch: int, sequence: int, price: str = "1", second: int = 0, ticker: str = "btc_usd") -> ReceivedTick:
    """Return a received tick."""
    return ReceivedTick(0, epoch, sequence, ticker, price, 1000 * second)


def gap(since: str | None) -> ConnectionEvent:
    """Return the event of a stream that cannot be resumed."""
    return ConnectionEvent(0, {"kind": "gap", "from": since, "reason": "unknown"})


def browser(*received: Received, query: str = "timer=0") -> Browser:
    """Return a browser that received this on one stream."""
    return Browser(list, query, received=[OPENED, LIVE, *received])


def violations(*browsers: Browser) -> list[str]:
    """Return what the checker finds."""
    return violations_of(browsers, Truth.of(browsers))


WHOLE = [tick(1, 1), tick(1, 2), tick(1, 3), tick(2, 4), tick(2, 5)]


def test_correct_streams_have_no_violation() -> None:
    """Correct: every tick in order, the newest again on joining, a gap event, only the newest with a timer."""
    with_gap = browser(tick(1, 1), gap("1-1"), tick(2, 5))
    again = browser(*WHOLE, Closed(0, True), OPENED, tick(2, 5), LIVE, query="timer=1")
    assert violations(browser(*WHOLE), with_gap, again, browser(tick(1, 1), tick(2, 5), query="timer=1")) == []


def test_superseded_ticks_may_be_missed() -> None:
    """Ticks of the old leader after the place where the next one began reached only its own browsers."""
    assert violations(browser(*WHOLE[:3], tick(1, 4), tick(1, 5)), browser(*WHOLE)) == []


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ([tick(1, 1), tick(1, 3)], "missing between"),
        ([tick(1, 1), tick(1, 2), tick(2, 4), tick(2, 5)], "missing between"),
        ([tick(1, 1), tick(1, 2), tick(1, 3), tick(2, 5)], "missing between"),
        ([gap("1-1"), *WHOLE[1:3], tick(2, 5)], "missing between"),
        ([tick(1, 1), tick(1, 2), tick(1, 2)], "after"),
        ([tick(2, 4), tick(1, 3)], "after"),
        ([*WHOLE, Closed(0, True), OPENED, tick(1, 3), LIVE], "after"),
        ([tick(1, 1, price="2")], "for another"),
    ],
)
def test_a_violation_of_a_stream_is_found(received: Sequence[Received], expected: str) -> None:
    """Another browser received everything."""
    found = violations(browser(*WHOLE), browser(*received))
    assert len(found) == 1
    assert expected in found[0]


def test_a_browser_that_is_closed_for_good_is_found() -> None:
    """The violation contains the status line that closed it."""
    dead = browser()
    dead.dead = "HTTP/1.1 503 Service Unavailable"
    assert violations(dead) == ["browser 0 is closed for good: HTTP/1.1 503 Service Unavailable"]


TRUTH = Truth.of([browser(tick(1, 1, "5", 0), tick(1, 2, "6", 1), tick(1, 3, "7", 4), tick(2, 4, "8", 6))])


def row(slot: int, price: str, second: int, epoch: int = 1, **other: Any) -> Row:
    """Return a row of btc_usd."""
    return Row("btc_usd", slot, price, 1000 * second, **{"source": "live", "epoch": epoch, **other})


STORED = [row(0, "6", 1), row(4, "7", 4), row(6, "8", 6, epoch=2)]
EXPLAINED = [Missing("btc_usd", 2, 4, "restart")]


def test_a_correct_history_has_no_violation() -> None:
    """Correct: the last tick of each slot, a missing slot with a reason, increasing epochs."""
    assert unexplained(STORED, EXPLAINED, TRUTH, 2) == []


@pytest.mark.parametrize(
    ("rows", "missing", "expected"),
    [
        (STORED, [], "2 is missing without a reason"),
        ([row(0, "5", 0), *STORED[1:]], EXPLAINED, "is not the last of its slot"),
        ([row(0, "6", 1, epoch=3), *STORED[1:]], EXPLAINED, "epoch=1"),
    ],
)
def test_a_violation_of_the_history_is_found(rows: list[Row], missing: list[Missing], expected: str) -> None:
    """Each is found once."""
    found = unexplained(rows, missing, TRUTH, 2)
    assert len(found) == 1
    assert expected in found[0]
