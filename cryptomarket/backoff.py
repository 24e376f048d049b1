"""How long to wait before the next attempt. It knows no clock and imports nothing of the package."""

import random as random_module
from collections.abc import Callable, Iterator
from itertools import count

__all__ = ["delays", "doubled"]


def doubled(first_seconds: float, times: int, *, cap_seconds: float) -> float:
    """The first wait, doubled so many times, at most the cap."""
    # Beyond 2^64 the result is the cap anyway, and larger powers overflow.
    return min(first_seconds * 2.0 ** min(times, 64), cap_seconds)


def delays(
    *,
    first_seconds: float = 0.25,
    cap_seconds: float = 30.0,
    random: Callable[[], float] = random_module.random,
) -> Iterator[float]:
    """Yields without end the seconds to wait before each next attempt; a new generator starts again.

    Full jitter (uniform between 0 and the doubling limit), so that a fleet that lost a server together does not
    return together.
    """
    for times in count():
        yield random() * doubled(first_seconds, times, cap_seconds=cap_seconds)
