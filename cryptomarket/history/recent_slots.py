"""The memory of a node: the last price of each slot of the last minutes, whoever led and wrote.

A leader that is killed takes the slots with it that it had not written. The next one heard their ticks too, and fills
them in from here, exactly. It knows no database.
"""

from collections.abc import Mapping

from ..model import Message, Price, Source, Tick

__all__ = ["HEARD", "RecentSlots"]

#: The source of a price that a node remembered.
HEARD = f"{Source.BACKFILL}:heard"
#: A slot is remembered for so long, and for so many intervals: longer than a leader needs to be replaced.
KEPT_SECONDS = 120
KEPT_SLOTS = 3


class RecentSlots:
    """Folds ticks into slots of `interval` seconds, and forgets those that are older than a new leader needs."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._kept = max(KEPT_SECONDS, KEPT_SLOTS * interval)
        self._slots: dict[int, dict[str, Price]] = {}
        self._newest = 0
        self._place = 0, 0

    def __repr__(self) -> str:
        return f"<Memory of {len(self._slots)} slots of {self._interval} s>"

    def on_message(self, message: Message) -> None:
        """Take a tick into its slot; the last to arrive within the highest epoch is the slot's price."""
        if not isinstance(message, Tick) or (message.epoch, message.sequence) <= self._place:
            return
        slot = message.slot(self._interval)
        if not message.follows(*self._place):
            self._doubt(slot)
        self._place = message.epoch, message.sequence
        if slot > self._newest:
            self._newest = slot
            for old in [old for old in self._slots if old < slot - self._kept]:
                del self._slots[old]
        self._slots.setdefault(slot, {})[message.ticker] = Price(
            message.ticker, slot, message.price, message.exchange_timestamp, HEARD, message.epoch
        )

    def _doubt(self, slot: int) -> None:
        """Ticks are missing before this slot's: the last heard of the slots since may not be their last."""
        for since in [since for since in self._slots if min(self._newest, slot) <= since]:
            del self._slots[since]

    def all(self) -> list[Price]:
        """Everything remembered, oldest first."""
        return [price for slot in sorted(self._slots) for price in self._slots[slot].values()]

    def prices(self, ticker: str) -> Mapping[int, Price]:
        """The prices of the ticker, by slot."""
        return {slot: of_slot[ticker] for slot, of_slot in self._slots.items() if ticker in of_slot}
