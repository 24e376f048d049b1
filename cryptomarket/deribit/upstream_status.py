"""The state of upstream as it is told to browsers and operators: published on every change, logged once for each."""

from collections.abc import Callable

import structlog

from ..model import Message, Upstream, UpstreamState
from .connection_failures import Failure
from .error_codes import Action

__all__ = ["UpstreamStatus"]

log = structlog.get_logger(__name__)


class UpstreamStatus:
    """Publishes the state of upstream when it changes. ``hint`` is added to the line that says it is down."""

    def __init__(self, publish: Callable[[Message], None], *, wall: Callable[[], float], hint: str = "") -> None:
        self._publish = publish
        self._wall = wall
        self._hint = hint
        self.state: UpstreamState | None = None
        self.reason = ""
        self._rested = ""
        self._troubles: set[str] = set()

    def __repr__(self) -> str:
        return f"<Status {self.state}>"

    def connecting(self) -> None:
        """The first attempt is under way."""
        self._show(UpstreamState.CONNECTING, "")

    def flowing(self, flowed: bool, rests: str) -> None:
        """The connection stands; prices flow, or rest by the exchange's own intention."""
        if rests:
            self._show(UpstreamState.STALE, rests)
        elif flowed:
            self._rested = ""
            self._show(UpstreamState.LIVE, "")

    def ended(self, failure: Failure, flowed: bool, rests: str) -> None:
        """The connection ended or was not made: a working one is being replaced, the others are down."""
        self._rested = rests or self._rested
        # A maintenance that was announced explains why nobody answers, until prices flow again.
        reason = f"{self._rested} ({failure.reason})" if self._rested else failure.reason
        if flowed and failure.action is not Action.STOP:
            self._show(UpstreamState.CONNECTING, reason)
        else:
            self._show(UpstreamState.DOWN, reason)

    def trouble(self, what: str) -> None:
        """Something went wrong that changes no state: a line the first time, silence for the same again."""
        if what in self._troubles:
            return
        if len(self._troubles) < 1000:  # a peer that makes up new words for ever fills no memory
            self._troubles.add(what)
        log.warning("exchange trouble", what=what)

    def _show(self, state: UpstreamState, reason: str) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        changed, self.state, self.reason = state is not self.state, state, reason
        if changed and state is UpstreamState.LIVE:
            self._troubles.clear()
        self._publish(Upstream(state, int(self._wall() * 1000), reason))
        if changed:
            hint = {"hint": self._hint} if state is UpstreamState.DOWN and self._hint else {}
            said = {"reason": reason} if reason else {}
            tell = log.info if state in (UpstreamState.LIVE, UpstreamState.CONNECTING) else log.warning
            tell("upstream", state=str(state), **said, **hint)
