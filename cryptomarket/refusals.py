"""Refused requests: counted by reason, and logged with who and where, at a bounded rate.

Who sends refused requests in bulk must not fill the log, nor hide the requests of others in it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from .addresses import address_groups
from .token_buckets import TokenBuckets

__all__ = ["Refusals", "Refused", "ignore_refusal"]

log = structlog.get_logger(__name__)

#: Lines of one reason: so many at once, then one each five seconds.
LINES_PER_SECOND, MOST_LINES = 0.2, 20
#: Lines of one reason and one address: so many at once, then one each minute.
ADDRESS_LINES_PER_SECOND, MOST_ADDRESS_LINES = 1 / 60, 3
#: Different addresses whose lines are counted.
MOST_ADDRESSES = 4096
#: What the client sent is repeated up to this length.
MOST_CHARACTERS = 200


class Refused(Protocol):
    """Reports a refused request: why, from which address, on which route, and the status of the answer, if any."""

    def __call__(
        self, reason: str, *, address: str | None, route: str, status: int | None = None, **details: object
    ) -> None: ...


def ignore_refusal(
    reason: str, *, address: str | None, route: str, status: int | None = None, **details: object
) -> None:
    """Report nothing."""


class Refusals:
    """Counts the refused requests of this process by reason and writes lines about them."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counts: dict[str, int] = {}
        #: Refused requests of each reason since its last line.
        self._unlogged: dict[str, int] = {}
        self._reasons = TokenBuckets(LINES_PER_SECOND, MOST_LINES)
        self._addresses = TokenBuckets(ADDRESS_LINES_PER_SECOND, MOST_ADDRESS_LINES, most=MOST_ADDRESSES)

    def __repr__(self) -> str:
        return f"<Refusals {sum(self._counts.values())}>"

    def refused(
        self, reason: str, *, address: str | None, route: str, status: int | None = None, **details: object
    ) -> None:
        """Count a refused request and log it, unless there were many lines of its reason or address lately.

        ``reason`` is one of a few words in the source, never text of the client. The field ``not_logged`` of a line is
        how many requests of the same reason were refused without a line since the one before.
        """
        self._counts[reason] = self._counts.get(reason, 0) + 1
        now = self._monotonic()
        group = address_groups(address)[0] if address else ""
        if self._addresses.take((f"{reason} {group}",), 1, now) or self._reasons.take((reason,), 1, now):
            self._unlogged[reason] = self._unlogged.get(reason, 0) + 1
            return
        facts = {"status": status, "not_logged": self._unlogged.pop(reason, None), **details}
        shown = {name: _short(value) for name, value in facts.items() if value is not None}
        log.info("request refused", reason=reason, address=address, route=_short(route), **shown)

    def counts(self) -> Mapping[str, int]:
        """How many requests were refused for each reason."""
        return dict(self._counts)


def _short(value: object) -> object:
    return value[:MOST_CHARACTERS] if isinstance(value, str) else value
