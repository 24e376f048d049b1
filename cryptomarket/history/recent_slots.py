"""The prices of the last slots on every node, so that a new leader can write what a killed one had not written.

Every node receives the leader's ticks, so what it fills in from here is exact. It knows no database.
"""

from collections.abc import Callable

from ..model import Message, Price, Source, Tick
from .slots import Slots, slot_price

__all__ = ["HEARD", "RecentSlots"]

#: The stored source of a price that a node had in memory.
HEARD = f"{Source.BACKFILL}:heard"
#: How long slots are kept, and how many at least: longer than it takes to replace a leader.
KEPT_SECONDS = 120
KEPT_SLOTS = 3


class RecentSlots:
    """Folds ticks into slots of `interval` seconds and keeps the slots that a new leader may need."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._kept_seconds = max(KEPT_SECONDS, KEPT_SLOTS * interval)
        self._slots: Slots[Price] = Slots()
        self._newest = 0
        self._position = 0, 0  # epoch and sequence of the last tick

    def __repr__(self) -> str:
        return f"<RecentSlots {len(self._slots)} of {self._interval} s>"

    def on_message(self, message: Message) -> None:
        """Take a tick into its slot; the last to arrive within the highest epoch is the slot's price."""
        if not isinstance(message, Tick) or (message.epoch, message.sequence) <= self._position:
            return
        price = slot_price(message, self._interval, source=HEARD, epoch=message.epoch)
        if not message.follows(*self._position):
            # Ticks were lost before this one: the last tick received of each slot since may not be its last.
            self._remove(lambda slot: slot >= min(self._newest, price.timestamp))
        self._position = message.epoch, message.sequence
        if price.timestamp > self._newest:
            self._newest = price.timestamp
            self._remove(lambda slot: slot < self._newest - self._kept_seconds)
        self._slots.put(price)

    def _remove(self, condition: Callable[[int], bool]) -> None:
        for slot in self._slots.starts():
            if condition(slot):
                self._slots.remove_slot(slot)

    def all(self) -> list[Price]:
        """Every price, oldest first."""
        return list(self._slots)

    def has(self, ticker: str, slot: int) -> bool:
        """Whether a tick of the ticker fell into the slot that begins then."""
        return self._slots.get(slot, ticker) is not None

    def prices(self, ticker: str) -> list[Price]:
        """The prices of a ticker, oldest first."""
        return sorted(self._slots.of_ticker(ticker), key=lambda price: price.timestamp)
