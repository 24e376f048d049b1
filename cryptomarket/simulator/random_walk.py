"""A random walk with random access: the same seed and time return the same value, past and future.

A sum of noise on coarser and coarser time lattices, so no history has to be simulated first.
"""

import random
from functools import lru_cache

__all__ = ["RandomWalk", "noise"]

_MASK = (1 << 64) - 1

#: Lattice widths from one second to about 48 days, in ms; a move over a width grows with its root, as in a random walk.
_WIDTHS = tuple(1000 * 4**octave for octave in range(12))


def noise(key: int, cell: int) -> float:
    """Returns a pseudo-random number in [-1, 1), the same for the same key and cell."""
    bits = (key + cell * 0x9E3779B97F4A7C15) & _MASK
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _MASK
    return (bits ^ (bits >> 31)) / 9223372036854775808 - 1


@lru_cache(maxsize=65536)
def key_of(seed: int, name: str) -> int:
    """The key of a named noise under a seed."""
    return random.Random(f"{seed}/{name}").getrandbits(64)


class RandomWalk:
    """A walk around zero; ``volatility`` is the size of its moves over one day."""

    def __init__(self, seed: int, name: str, volatility: float) -> None:
        key = key_of(seed, name)
        day = 86_400_000
        # The factor compensates the flattening by interpolation, measured over a year of simulated days.
        self._octaves = [
            [width, (key + 977 * width) & _MASK, 0.9 * volatility * (width / day) ** 0.5, None, 0.0, 0.0]
            for width in _WIDTHS
        ]

    def at(self, ms: int) -> float:
        """The value at a moment (UNIX ms)."""
        total = 0.0
        for octave in self._octaves:
            width, key, size, cell, left, right = octave
            now, within = divmod(ms, width)
            if now != cell:
                left, right = noise(key, now) * size, noise(key, now + 1) * size
                octave[3:] = [now, left, right]
            total += left + (right - left) * (within / width)
        return total
