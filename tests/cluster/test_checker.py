"""The checker finds what must not be: each kind of fault is planted in what was right."""

from collections.abc import Sequence
from typing import Any

import pytest

from .browsers import Browser, Closed, Heard, Opened, Said, TickHeard
from .checker import Missing, Row, Truth, faults_of, unexplained

OPENED = Opened(0, "n0", "")
LIVE = Said(0, {"kind": "upstream", "state": "live"})


def tick(epoch: int, sequence: int, price: str = "1", second: int = 0, ticker: str = "btc_usd") -> TickHeard:
    """A tick of a place, which is all that matters here."""
    return TickHeard(0, epoch, sequence, ticker, price, 1000 * second)


def gap(since: str | None) -> Said:
    """What a stream is told that cannot be continued."""
    return Said(0, {"kind": "gap", "from": since, "reason": "unknown"})


def browser(*heard: Heard, query: str = "timer=0") -> Browser:
    """A browser that heard this."""
    return Browser(list, query, heard=[OPENED, LIVE, *heard])


def faults(*browsers: Browser) -> list[str]:
    """What the checker says of them."""
    return faults_of(browsers, Truth.of(browsers))


WHOLE = [tick(1, 1), tick(1, 2), tick(1, 3), tick(2, 4), tick(2, 5)]


def test_what_is_right_is_no_fault() -> None:
    """Every tick in order; the newest again on joining; a gap that is said; the newest alone for who asked for that."""
    told = browser(tick(1, 1), gap("1-1"), tick(2, 5))
    again = browser(*WHOLE, Closed(0, True), OPENED, tick(2, 5), LIVE, query="timer=1")
    assert faults(browser(*WHOLE), told, again, browser(tick(1, 1), tick(2, 5), query="timer=1")) == []


def test_what_the_next_leader_did_not_hear_is_owed_to_nobody() -> None:
    """The old one's own browsers had ticks beyond the place where the next began."""
    assert faults(browser(*WHOLE[:3], tick(1, 4), tick(1, 5)), browser(*WHOLE)) == []


@pytest.mark.parametrize(
    ("heard", "said"),
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
def test_a_fault_of_a_stream_is_found(heard: Sequence[Heard], said: str) -> None:
    """Beside a browser that heard everything."""
    found = faults(browser(*WHOLE), browser(*heard))
    assert len(found) == 1
    assert said in found[0]


def test_a_browser_that_is_closed_for_good_is_found() -> None:
    """With the answer that closed it."""
    dead = browser()
    dead.dead = "HTTP/1.1 503 Service Unavailable"
    assert faults(dead) == ["browser 0 is closed for good: HTTP/1.1 503 Service Unavailable"]


TRUTH = Truth.of([browser(tick(1, 1, "5", 0), tick(1, 2, "6", 1), tick(1, 3, "7", 4), tick(2, 4, "8", 6))])


def row(slot: int, price: str, second: int, epoch: int = 1, **other: Any) -> Row:
    """A row of btc_usd."""
    return Row("btc_usd", slot, price, 1000 * second, **{"source": "live", "epoch": epoch, **other})


RIGHT = [row(0, "6", 1), row(4, "7", 4), row(6, "8", 6, epoch=2)]
SAID = [Missing("btc_usd", 2, 4, "restart")]


def test_what_is_stored_right_is_no_fault() -> None:
    """The last of each slot, a hole with its reason, epochs that go up."""
    assert unexplained(RIGHT, SAID, TRUTH, 2) == []


@pytest.mark.parametrize(
    ("rows", "missing", "said"),
    [
        (RIGHT, [], "2 is missing without a reason"),
        ([row(0, "5", 0), *RIGHT[1:]], SAID, "is not the last of its slot"),
        ([row(0, "6", 1, epoch=3), *RIGHT[1:]], SAID, "epoch=1"),
    ],
)
def test_a_fault_of_the_history_is_found(rows: list[Row], missing: list[Missing], said: str) -> None:
    """One each."""
    found = unexplained(rows, missing, TRUTH, 2)
    assert len(found) == 1
    assert said in found[0]
