"""What a node read in Redis and refused: counted, logged now and then, and what it means for the operator."""

import time
from collections import Counter
from collections.abc import Callable

import structlog

__all__ = ["RefusedMessages"]

log = structlog.get_logger(__name__)

#: The interval between two log lines of one reason.
LOG_SECONDS = 60.0
#: How long messages that do not verify count, and how long one that verifies shows that the keys are right.
RECENT_SECONDS = 15.0


class RefusedMessages:
    """Counts by reason: ``signature``, ``format``, ``time``, ``repeated``, ``epoch``, ``sequence``."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.counts: Counter[str] = Counter()
        self._logged: dict[str, tuple[float, int]] = {}
        self._verified = self._unverified = float("-inf")
        self._timely = self._untimely = float("-inf")

    def add(self, reason: str) -> None:
        """Count one message, and log it unless one of the same reason was logged lately."""
        now = self._monotonic()
        self.counts[reason] += 1
        if reason == "signature":
            self._unverified = now
        logged, count = self._logged.get(reason, (float("-inf"), 0))
        if now - logged < LOG_SECONDS:
            return
        total = self.counts[reason]
        self._logged[reason] = now, total
        hint = {"hint": "the nodes may have different keys"} if reason == "signature" and self.keys_differ() else {}
        log.warning("message of another node refused", reason=reason, count=total - count, **hint)

    def verified(self, *, timely: bool) -> None:
        """Another node's message verified: it has the same key. ``timely``: it was sent lately by this node's clock."""
        self._verified = now = self._monotonic()
        if timely:
            self._timely = now
        else:
            self._untimely = now

    def keys_differ(self) -> bool:
        """Whether messages came lately, and none of another node verified."""
        now = self._monotonic()
        return now - self._unverified < RECENT_SECONDS <= now - self._verified

    def clocks_differ(self) -> bool:
        """Whether messages of other nodes came lately, and all seemed to be of another time."""
        now = self._monotonic()
        return now - self._untimely < RECENT_SECONDS <= now - self._timely
