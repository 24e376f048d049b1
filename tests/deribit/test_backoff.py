"""Pauses between attempts."""

from itertools import islice

from cryptomarket.backoff import delays
from cryptomarket.deribit.rate_limit import AttemptLimiter


def test_limits_double_up_to_a_cap() -> None:
    """Without jitter the limits themselves are seen."""
    assert list(islice(delays(random=lambda: 1.0), 9)) == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_jitter_is_full() -> None:
    """A lucky client waits for nothing, so that a fleet spreads over the whole interval."""
    assert list(islice(delays(random=lambda: 0.0), 3)) == [0, 0, 0]


def test_attempts_of_a_minute_are_bounded() -> None:
    """However often data resets the delay, a link that flaps makes no storm."""
    attempts = AttemptLimiter(max_attempts=3, window_seconds=60)
    for now in (0.0, 1.0, 2.0):
        assert attempts.wait(now) == 0
        attempts.record(now)
    assert attempts.wait(3.0) == 57
    assert attempts.wait(60.0) == 0
