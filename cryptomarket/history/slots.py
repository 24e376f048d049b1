"""Folds ticks into slots: the last tick of a slot is its price. Pure; it knows no clock and no database."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from ..model import Price, Tick

__all__ = ["Slots", "slot_price"]


class SlotRow(Protocol):
    """A row of one ticker and one slot, whose start is `timestamp` (UNIX seconds)."""

    @property
    def ticker(self) -> str: ...
    @property
    def timestamp(self) -> int: ...


Row = TypeVar("Row", bound=SlotRow)


def slot_price(tick: Tick, interval: int, *, source: str, epoch: int) -> Price:
    """The price of the tick's slot when this tick is the last of the slot."""
    return Price(tick.ticker, tick.slot(interval), tick.price, tick.exchange_timestamp, source, epoch)


class Slots(Generic[Row]):
    """One row for each slot and ticker; a new row replaces the old one. `rows` is their number."""

    def __init__(self) -> None:
        self._of_slot: dict[int, dict[str, Row]] = {}
        self.rows = 0

    def __len__(self) -> int:
        return len(self._of_slot)

    def __iter__(self) -> Iterator[Row]:
        """Every row, the oldest slot first."""
        for slot in sorted(self._of_slot):
            yield from self._of_slot[slot].values()

    def put(self, row: Row) -> None:
        """Take a row, which replaces the row of the same slot and ticker."""
        of_slot = self._of_slot.setdefault(row.timestamp, {})
        self.rows += row.ticker not in of_slot
        of_slot[row.ticker] = row

    def get(self, slot: int, ticker: str) -> Row | None:
        """The row of a slot and ticker."""
        return self._of_slot.get(slot, {}).get(ticker)

    def of_ticker(self, ticker: str) -> list[Row]:
        """The rows of a ticker, in the order in which their slots came."""
        return [of_slot[ticker] for of_slot in self._of_slot.values() if ticker in of_slot]

    def remove(self, row: Row) -> None:
        """Remove this row, unless another one has replaced it."""
        of_slot = self._of_slot.get(row.timestamp, {})
        if of_slot.get(row.ticker) is not row:
            return
        del of_slot[row.ticker]
        self.rows -= 1
        if not of_slot:
            del self._of_slot[row.timestamp]

    def remove_slot(self, slot: int) -> int:
        """Remove a slot; returns how many rows it had."""
        rows = len(self._of_slot.pop(slot))
        self.rows -= rows
        return rows

    def remove_oldest(self) -> tuple[int, int]:
        """Remove the oldest slot; returns its start and how many rows it had."""
        oldest = min(self._of_slot)
        return oldest, self.remove_slot(oldest)

    def starts(self) -> list[int]:
        """The starts of all slots, oldest first."""
        return sorted(self._of_slot)

    def clear(self) -> None:
        """Remove everything."""
        self._of_slot.clear()
        self.rows = 0

    def batches(self, last: float, size: int) -> Iterator[list[Row]]:
        """The rows of slots that start by `last`, oldest first, in batches of whole slots with at least `size` rows.

        Slots may change between two batches.
        """
        batch: list[Row] = []
        for slot in self.starts():
            if slot > last:
                break
            batch += self._of_slot.get(slot, {}).values()
            if len(batch) >= size:
                yield batch
                batch = []
        if batch:
            yield batch
