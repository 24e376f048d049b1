"""Numbering: the epoch and sequence of published ticks, and the numbers of batches. Pure."""

from ...model import Tick
from .acceptance import is_next_epoch
from .codec import Batch

__all__ = ["Sequencer"]


class Sequencer:
    """The numbers that this node publishes while it leads, and those it expects from another leader.

    ``epoch`` is this node's own while it leads, else 0.
    """

    def __init__(self) -> None:
        self.epoch = 0
        #: The highest epoch that any node published with.
        self.newest_epoch = 0
        self.sequence = 0
        self._after = (0, 0)
        self._batch = 0
        self._expected: int | None = None

    def lead(self, epoch: int, newest: tuple[int, int]) -> None:
        """Number with this epoch; ``newest`` is the (epoch, sequence) of the newest tick delivered on this node.

        The sequence continues there, so that a node that missed the previous leader's last ticks sees a jump.
        """
        self.epoch, self.sequence, self._batch = epoch, newest[1], 0
        self._after = newest
        self.newest_epoch, self._expected = max(self.newest_epoch, epoch), None

    def stop_leading(self) -> None:
        """Stop numbering."""
        self.epoch = 0

    def number(self, tick: Tick) -> Tick:
        """The tick with the next sequence."""
        self.sequence += 1
        return tick.at(self.epoch, self.sequence, self._after)

    def next_batch(self) -> int:
        """The number of the next batch: counted while this node leads."""
        self._batch += bool(self.epoch)
        return self._batch

    def skip_batch(self) -> None:
        """Leave out a number, so that other nodes notice that messages were dropped."""
        self._batch += 1

    def is_plausible(self, epoch: int) -> bool:
        """Whether the epoch is no leap: after one, every true leader would be refused."""
        return is_next_epoch(epoch, self.newest_epoch)

    def observe_epoch(self, epoch: int) -> bool:
        """Whether a node published with a higher epoch than any before."""
        if epoch <= self.newest_epoch:
            return False
        self.newest_epoch, self._expected = epoch, None
        return True

    def is_from_leader(self, batch: Batch) -> bool:
        """Whether the batch is of the node that leads, which is not this one."""
        return batch.epoch == self.newest_epoch and batch.epoch > 0 and not self.epoch

    def is_next(self, batch: Batch) -> bool:
        """Whether no batch of the leader is missing before this one; the one after it is expected next."""
        expected, self._expected = self._expected, batch.number + 1
        return expected == batch.number
