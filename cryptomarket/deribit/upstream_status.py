"""The state of the connection to the exchange, as browsers and operators see it: published and logged on changes."""

import logging
from collections.abc import Callable

import structlog

from ..model import Message, Upstream, UpstreamState
from .connection_failures import Failure
from .error_codes import Action

__all__ = ["UpstreamReporter"]

log = structlog.get_logger(__name__)

#: Different warnings that are remembered; a peer that invents new ones for ever must not fill the memory.
MAX_WARNINGS = 1000


class UpstreamReporter:
    """Publishes the state of upstream when it changes; ``hint`` is added to the log line of state `down`."""

    def __init__(self, publish: Callable[[Message], None], *, wall: Callable[[], float], hint: str = "") -> None:
        self._publish = publish
        self._wall = wall
        self._hint = hint
        self.state: UpstreamState | None = None
        self.reason = ""
        self._last_resting = ""
        self._warnings: set[str] = set()

    def __repr__(self) -> str:
        return f"<UpstreamReporter {self.state}>"

    def connecting(self) -> None:
        """The first attempt is under way."""
        self._change(UpstreamState.CONNECTING, "")

    def connected(self, proved: bool, resting: str) -> None:
        """The connection is open; ``resting`` is the exchange's own reason to send no prices, or empty.

        It is ``proved`` by prices, or by confirmed channels where no ticker is configured.
        """
        if resting:
            self._change(UpstreamState.STALE, resting)
        elif proved:
            self._last_resting = ""
            self._change(UpstreamState.LIVE, "")

    def ended(self, failure: Failure, proved: bool, resting: str) -> None:
        """Report the end of a connection: `connecting` if it had been proved and is replaced, else `down`."""
        self._last_resting = resting or self._last_resting
        # An announced maintenance explains why the exchange does not answer, until prices arrive again.
        reason = f"{self._last_resting} ({failure.reason})" if self._last_resting else failure.reason
        replaced = proved and failure.action is not Action.STOP
        self._change(UpstreamState.CONNECTING if replaced else UpstreamState.DOWN, reason)

    def warn(self, message: str) -> None:
        """Log something that changes no state; the same message again only after upstream was live again."""
        if message in self._warnings:
            return
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.add(message)
        log.warning("exchange warning", message=message)

    def _change(self, state: UpstreamState, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        changed, self.state, self.reason = state is not self.state, state, reason
        if changed and state is UpstreamState.LIVE:
            self._warnings.clear()
        self._publish(Upstream(state, int(self._wall() * 1000), reason))
        if changed:
            hint = {"hint": self._hint} if state is UpstreamState.DOWN and self._hint else {}
            details = {"reason": reason} if reason else {}
            level = logging.INFO if state in (UpstreamState.LIVE, UpstreamState.CONNECTING) else logging.WARNING
            log.log(level, "upstream state changed", state=str(state), **details, **hint)
