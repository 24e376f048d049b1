"""Refused requests in the log and in numbers."""

import structlog.testing

from cryptomarket.refusals import MOST_ADDRESS_LINES, MOST_LINES, Refusals


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_says_who_where_and_why() -> None:
    """With the status and the details that are known."""
    refusals = Refusals(monotonic=Clock())
    with structlog.testing.capture_logs() as lines:
        refusals.refused("rate", address="192.0.2.7", route="/api/v1/prices", status=429, seconds=3)
    assert lines == [
        {
            "event": "request refused",
            "log_level": "info",
            "reason": "rate",
            "address": "192.0.2.7",
            "route": "/api/v1/prices",
            "status": 429,
            "seconds": 3,
        }
    ]


def test_one_address_neither_fills_the_log_nor_hides_others() -> None:
    """It gets a few lines; the next line of another says how many had none."""
    refusals = Refusals(monotonic=Clock())
    with structlog.testing.capture_logs() as lines:
        for _ in range(10_000):
            refusals.refused("rate", address="192.0.2.7", route="/")
        refusals.refused("rate", address="192.0.2.8", route="/")
    assert len(lines) == MOST_ADDRESS_LINES + 1
    assert lines[-1]["address"] == "192.0.2.8"
    assert lines[-1]["not_logged"] == 10_000 - MOST_ADDRESS_LINES
    assert refusals.counts() == {"rate": 10_001}


def test_many_addresses_do_not_fill_the_log() -> None:
    """An hour of refusals of a thousand addresses writes a bounded number of lines; other reasons keep theirs."""
    clock = Clock()
    refusals = Refusals(monotonic=clock)
    with structlog.testing.capture_logs() as lines:
        for second in range(3600):
            clock.now = float(second)
            for number in range(10):
                refusals.refused("rate", address=f"192.0.{second % 100}.{number}", route="/")
        refusals.refused("origin", address="192.0.2.7", route="/")
    assert len(lines) <= MOST_LINES + 3600 / 5 + 1
    assert lines[-1]["reason"] == "origin"


def test_what_the_client_sent_is_cut() -> None:
    """A path of any length makes a short line."""
    with structlog.testing.capture_logs() as lines:
        Refusals(monotonic=Clock()).refused("host", address=None, route="/" + "x" * 30_000, host="y" * 30_000)
    assert len(str(lines)) < 1000
