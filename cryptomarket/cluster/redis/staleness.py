"""The watch over the leader: prices are stale when no leader publishes."""

from collections.abc import Callable

import anyio

from ...model import Upstream, UpstreamState
from .delivery import LocalDelivery
from .sequencer import Sequencer

__all__ = ["SILENT_SECONDS", "StalenessWatch"]

#: A leader that has not published for so long counts as absent; it publishes every second.
SILENT_SECONDS = 2.5
CHECK_SECONDS = 0.25


class StalenessWatch:
    """Delivers ``stale`` on this node when the leader falls silent. ``connected`` returns whether Redis replies."""

    def __init__(
        self,
        sequencer: Sequencer,
        delivery: LocalDelivery,
        *,
        connected: Callable[[], bool],
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._sequencer = sequencer
        self._delivery = delivery
        self._connected = connected
        self._monotonic, self._wall = monotonic, wall
        self._leader_seen = monotonic()
        self._silent = False

    def leader_seen(self) -> None:
        """A leader published: another node or this one."""
        self._leader_seen, self._silent = self._monotonic(), False

    def leader_left(self) -> None:
        """This node stopped leading; the next leader has SILENT_SECONDS to publish."""
        self._leader_seen = self._monotonic()

    def has_leader(self) -> bool:
        """Whether this node leads, or receives from a node that does."""
        return bool(self._sequencer.epoch) or not self._silent

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await anyio.sleep(CHECK_SECONDS)
            if self.has_leader() and not self._sequencer.epoch:
                self._check()

    def _check(self) -> None:
        if self._monotonic() - self._leader_seen > SILENT_SECONDS:
            self._silent = True
            reason = "no node leads" if self._connected() else "Redis does not reply"
            self._delivery.deliver(Upstream(UpstreamState.STALE, int(self._wall() * 1000), reason))
