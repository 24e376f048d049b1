"""Which signed messages a node accepts: each once, none that is old, and no leap of a sequence or an epoch. Pure.

Who has the account of Redis can keep messages of nodes and send them again. A node that was compromised, or a bug, can
sign any number.
"""

import time
from collections.abc import Callable

__all__ = ["MAX_AGE_SECONDS", "Freshness", "LeapLimit", "is_next_epoch", "sending_time"]

#: A message is refused this long after it was sent. The clocks of the nodes must agree by less.
MAX_AGE_SECONDS = 15.0
#: No exchange sends so many ticks. A sequence that grows faster has leapt.
MAX_TICKS_PER_SECOND = 100_000
#: Added to the time since the newest tick: a node may have been slow to receive.
SLACK_SECONDS = 10.0
#: The highest sequence that JavaScript reads exactly, and the highest epoch: 68 years of one leader a second.
MAX_SEQUENCE, MAX_EPOCH = 2**53 - 1, 2**31 - 1
#: A node that was cut off misses fewer leaders than this.
MAX_MISSED_EPOCHS = 1_000_000


class Freshness:
    """Accepts each message of each node once, in the order of sending, while it is new. Times are UNIX µs."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._last: dict[str, int] = {}
        self._forget_at = 0.0

    def refusal(self, node: str, sent: int) -> str:
        """Why a message that ``node`` sent at this time is refused; empty if it is accepted.

        Commands are no nodes: their name is empty, and two of them may send at the same time.
        """
        now = self._wall()
        if abs(now - sent / 1e6) > MAX_AGE_SECONDS:
            return "time"
        sender = node or f"command {sent}"
        last = self._last.get(sender, 0)
        if last / 1e6 - now > MAX_AGE_SECONDS:
            last = 0  # from before the clocks were set back; the node numbers anew, see `sending_time`
        if sent <= last:
            return "repeated"
        self._last[sender] = sent
        if now >= self._forget_at:
            self._forget_at = now + MAX_AGE_SECONDS
            oldest = (now - 2 * MAX_AGE_SECONDS) * 1e6
            self._last = {name: last for name, last in self._last.items() if last > oldest}
        return ""


def sending_time(last: int, wall: float) -> int:
    """The time of a node's next message, after one of ``last``, both in UNIX µs: rising, even if the clock is set back.

    After a large step back it is the clock's, as nobody would accept more from the future.
    """
    now = int(wall * 1e6)
    return now if last / 1e6 - wall > MAX_AGE_SECONDS else max(last + 1, now)


class LeapLimit:
    """The highest plausible sequence, from the newest tick and the time since it came."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sequence, self._seen = 0, monotonic()

    def observe(self, sequence: int) -> None:
        """The newest tick has this sequence."""
        self._sequence, self._seen = sequence, self._monotonic()

    def allows(self, sequence: int) -> bool:
        """Whether a tick may have this sequence; a node that has seen none accepts what it sees first."""
        if self._sequence == 0:
            return sequence <= MAX_SEQUENCE
        passed = self._monotonic() - self._seen + SLACK_SECONDS
        return sequence <= min(MAX_SEQUENCE, self._sequence + MAX_TICKS_PER_SECOND * passed)


def is_next_epoch(epoch: int, newest: int) -> bool:
    """Whether the database can have given the epoch to a leader, when ``newest`` is the newest known, 0 for none."""
    return epoch <= (min(MAX_EPOCH, newest + MAX_MISSED_EPOCHS) if newest else MAX_EPOCH)
