"""The order in which waiting logins are served: addresses take turns, those with recent failures after the others.

Pure: it knows no clock, no cache and no exchange.

Each address has a queue, in the order of acceptance. A login gets a round: that of the login before it in its queue
plus 1, and plus 1 for each recent failure of its address. A queue begins at the round that is being served. The lowest
round is served first, then the earliest acceptance. Addresses with failures have a line of their own, which is served
when nobody else waits, and otherwise once in `TURNS`: the more failures, the later, but nobody waits for ever.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..addresses import MULTIPLES, AddressCounts

__all__ = ["TURNS", "FairLine"]

#: Of so many logins served one is of an address with failures, if one waits.
TURNS = 8
#: The most failures that count: a queue stays within so many rounds of the others.
MOST_FAILURES = 30

#: Round, time of acceptance, login id.
_Position = tuple[int, float, str]


def _accepted(position: _Position) -> tuple[float, str]:
    return position[1:]


@dataclass(slots=True)
class _Queue:
    """The waiting logins of one address; ``cost`` is the number of rounds between two of them."""

    groups: Sequence[str]
    cost: int
    positions: list[_Position] = field(default_factory=list)

    @property
    def failing(self) -> bool:
        return self.cost > 1


class FairLine:
    """Logins that wait, by their ids.

    An address is given as its groups, see `address_groups`; the first names its queue. One address has at most
    ``most_per_address`` places, a wider group `WIDER` times as many, all addresses with failures ``most_failing``, and
    the whole line ``most``.
    """

    def __init__(self, *, most: int, most_per_address: int, most_failing: int) -> None:
        self._most, self._most_per_address, self._most_failing = most, most_per_address, most_failing
        self._queues: dict[str, _Queue] = {}
        self._found: dict[str, tuple[_Queue, _Position]] = {}
        #: How many places each group has, and its recent failures.
        self._places = AddressCounts()
        self._failures: dict[str, int] = {}
        #: The lines of addresses without and with failures, in order; the round served last in each.
        self._lines: tuple[list[_Position], list[_Position]] = ([], [])
        self._rounds = [0, 0]
        #: Logins of addresses without failures that were served since one with.
        self._since_failing = 0

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, login_id: object) -> bool:
        return login_id in self._found

    def add(self, login_id: str, accepted: float, groups: Sequence[str], failures: Mapping[str, int]) -> list[str]:
        """Add a login; return the ids of those that lose their place for it, which may be its own.

        ``failures`` are the recent ones of its groups.
        """
        if self._places.full(groups, self._most_per_address) is not None:
            return [login_id]
        self._places.add(groups)
        self.charge({group: failures[group] for group in groups if group in failures})
        queue = self._queues.get(groups[0])
        if queue is None:
            queue = self._queues[groups[0]] = _Queue(groups, self._cost(groups))
        index = bisect_left(queue.positions, (accepted, login_id), key=_accepted)
        later = [_accepted(position) for position in queue.positions[index:]]
        self._lift(queue, index)
        self._lay(queue, [(accepted, login_id), *later])
        lost = []
        if len(self._lines[True]) > self._most_failing:
            lost.append(self._lines[True][-1][2])
        elif len(self) > self._most:
            lost.append((self._lines[True] or self._lines[False])[-1][2])
        for one in lost:
            self.remove(one)
        return lost

    def charge(self, failures: Mapping[str, int]) -> None:
        """Set the recent failures of groups, and move the logins of their addresses to where they belong now."""
        changed = {group for group, number in failures.items() if self._failures.get(group, 0) != number}
        self._failures.update({group: failures[group] for group in changed})
        if not changed:
            return
        for queue in self._queues.values():
            if (cost := self._cost(queue.groups)) != queue.cost and not changed.isdisjoint(queue.groups):
                logins = [_accepted(position) for position in queue.positions]
                self._lift(queue, 0)
                queue.cost = cost
                self._lay(queue, logins)
        self._forget(changed)

    def pop(self) -> tuple[str, bool]:
        """Remove the login whose turn it is; return its id, and whether its address has failures.

        Raises IndexError when nobody waits.
        """
        clean, failing = self._lines
        serves_failing = not clean or (bool(failing) and self._since_failing >= TURNS - 1)
        self._since_failing = 0 if serves_failing else min(TURNS - 1, self._since_failing + 1)
        round_, _, login_id = self._lines[serves_failing][0]
        self._rounds[serves_failing] = round_
        self.remove(login_id)
        return login_id, serves_failing

    def refund(self, failing: bool) -> None:
        """A turn was not used: the next login of an address with or without failures, like that one, has it."""
        self._since_failing = TURNS - 1 if failing else max(0, self._since_failing - 1)

    def remove(self, login_id: str) -> None:
        """Remove a login that no longer waits; the others of its address keep their rounds."""
        queue, position = self._found.pop(login_id)
        queue.positions.remove(position)
        line = self._lines[queue.failing]
        del line[bisect_left(line, position)]
        self._places.remove(queue.groups)
        if not queue.positions:
            del self._queues[queue.groups[0]]
        self._forget(queue.groups)

    def place(self, login_id: str) -> int:
        """The number of turns until the login is served, 1 for the next, if no other comes before it."""
        queue, position = self._found[login_id]
        return self._place(queue.failing, bisect_left(self._lines[queue.failing], position))

    def places(self) -> Iterator[tuple[str, int]]:
        """The ids of all that wait, each with its place, in the order of the places."""
        found = [
            (self._place(failing, index), position[2])
            for failing, line in ((False, self._lines[0]), (True, self._lines[1]))
            for index, position in enumerate(line)
        ]
        for place, login_id in sorted(found):
            yield login_id, place

    def _place(self, failing: bool, index: int) -> int:
        others = len(self._lines[not failing])
        if failing:
            before = min(others, (TURNS - 1) * (index + 1) - self._since_failing)
        else:
            before = min(others, (index + self._since_failing) // (TURNS - 1))
        return index + 1 + before

    def _cost(self, groups: Sequence[str]) -> int:
        """Of the group with the most failures; those of a wider group are of many clients, and count less."""
        known = zip(groups, MULTIPLES, strict=False)
        return 1 + min(MOST_FAILURES, max(self._failures.get(group, 0) // multiple for group, multiple in known))

    def _lay(self, queue: _Queue, logins: Sequence[tuple[float, str]]) -> None:
        """Give each login a round after those of the queue, and put it into its line."""
        line = self._lines[queue.failing]
        round_ = queue.positions[-1][0] if queue.positions else self._rounds[queue.failing]
        for accepted, login_id in logins:
            round_ += queue.cost
            position = (round_, accepted, login_id)
            self._found[login_id] = queue, position
            queue.positions.append(position)
            insort(line, position)

    def _lift(self, queue: _Queue, start: int) -> None:
        """Take the logins of a queue from its place ``start`` on out of their line."""
        line = self._lines[queue.failing]
        for position in queue.positions[start:]:
            del line[bisect_left(line, position)]
        del queue.positions[start:]

    def _forget(self, groups: Sequence[str] | set[str]) -> None:
        """Forget the failures of groups without a place."""
        for group in groups:
            if not self._places[group]:
                self._failures.pop(group, None)
