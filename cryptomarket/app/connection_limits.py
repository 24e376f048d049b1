"""How many connections that are no streams one process holds, and which of them is closed for another. No I/O.

A connection is counted from its acceptance until it ends or becomes a stream, which has limits of its own. Above a
limit of the process the connection that is missed least is closed: an idle one, else the oldest whose request is
incomplete, else the one whose client has not read its answer for the longest. A newcomer is refused only if its address
has too many and none of them is idle, or if all others are being answered.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

from ..addresses import AddressCounts, address_groups

__all__ = ["ConnectionLimits", "Stage"]

#: One that waits for a request takes some 5 KB; a crowd of browsers that returns at once is read within milliseconds.
MOST_CONNECTIONS = 4_096
#: What incomplete requests have sent, in all.
MOST_INCOMPLETE_BYTES = 16 * 2**20
#: Answers that their clients do not read, beside what the kernel's send buffers hold of them.
MOST_UNREAD = 128
#: What they had left to send when their clients stopped reading, in all. Their makers hold as much again.
MOST_UNREAD_BYTES = 16 * 2**20
NO_LIMIT = 1_000_000

C = TypeVar("C")


class Stage(Enum):
    """What a connection does."""

    INCOMPLETE = auto()  #: its request has not arrived completely, or not begun to since it was accepted
    ANSWERING = auto()
    UNREAD = auto()  #: it is being answered, and its client does not read
    IDLE = auto()  #: all its requests are answered


class ConnectionLimits(Generic[C]):
    """The connections of one process that are no streams.

    ``most_with_streams`` bounds them together with the ``streams``, by the file limit; ``exempt`` are the addresses of
    trusted proxies, whose connections are those of many clients.
    """

    def __init__(
        self,
        *,
        most: int = MOST_CONNECTIONS,
        most_with_streams: int = NO_LIMIT,
        most_per_address: int = NO_LIMIT,
        most_incomplete_bytes: int = MOST_INCOMPLETE_BYTES,
        most_unread: int = MOST_UNREAD,
        most_unread_bytes: int = MOST_UNREAD_BYTES,
        streams: Callable[[], int] = lambda: 0,
        exempt: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._most, self._most_with_streams = most, most_with_streams
        self._most_per_address = most_per_address
        self._most_incomplete_bytes = most_incomplete_bytes
        self._most_unread, self._most_unread_bytes = most_unread, most_unread_bytes
        self._streams, self._exempt = streams, exempt
        #: The groups each connection is counted by, and how many connections each group has.
        self._groups: dict[C, tuple[str, ...]] = {}
        self._counts = AddressCounts()
        #: Each in the order in which they came to this stage; an incomplete one with the bytes it has sent, an unread
        #: one with those it had left to send.
        self._incomplete: dict[C, int] = {}
        self._unread: dict[C, int] = {}
        self._idle: dict[C, None] = {}
        #: The idle ones of each group.
        self._idle_of: dict[str, dict[C, None]] = {}
        self._incomplete_bytes = self._unread_bytes = 0

    def __len__(self) -> int:
        return len(self._groups)

    def __repr__(self) -> str:
        stages = f"{len(self._incomplete)} incomplete, {len(self._unread)} unread, {len(self._idle)} idle"
        return f"<ConnectionLimits {len(self)}: {stages}>"

    def opened(self, connection: C, host: str) -> C | None:
        """Count a new connection, which is incomplete; return the one to close because its address has too many.

        That is an idle one of the address, as a crowd of browsers behind one address leaves many for some seconds; else
        the new one, which is not counted then.
        """
        groups, found = () if self._exempt(host) else address_groups(host), None
        if (full := self._counts.full(groups, self._most_per_address)) is not None:
            found = next(iter(self._idle_of.get(full, ())), connection)
        if found is connection:
            return connection
        self._counts.add(groups)
        self._groups[connection] = groups
        self._incomplete[connection] = 0
        return found

    def moved(self, connection: C, stage: Stage, unsent: int = 0) -> None:
        """Note that the connection does something else now; an unread one has ``unsent`` bytes left to send."""
        if connection not in self._groups:
            return
        self._leave_stage(connection)
        if stage is Stage.INCOMPLETE:
            self._incomplete[connection] = 0
        elif stage is Stage.UNREAD:
            self._unread[connection] = unsent
            self._unread_bytes += unsent
        elif stage is Stage.IDLE:
            self._idle[connection] = None
            for group in self._groups[connection]:
                self._idle_of.setdefault(group, {})[connection] = None

    def received(self, connection: C, count: int) -> None:
        """Count bytes of an incomplete request."""
        if connection in self._incomplete:
            self._incomplete[connection] += count
            self._incomplete_bytes += count

    def closed(self, connection: C) -> None:
        """Forget a connection that ended or became a stream, if it is known."""
        self._leave_stage(connection)
        self._counts.remove(self._groups.pop(connection, ()))

    def excess(self) -> tuple[C, str | None] | None:
        """The connection to close now with the reason for the log (None for an idle one), or None."""
        if len(self._unread) > self._most_unread or self._unread_bytes > self._most_unread_bytes:
            return next(iter(self._unread)), "unread_answer"
        if self._incomplete_bytes > self._most_incomplete_bytes:
            return next(iter(self._incomplete)), "incomplete_request"
        count = len(self._groups)
        if count > self._most or count + self._streams() > self._most_with_streams:
            return self._least_missed()
        return None

    def _least_missed(self) -> tuple[C, str | None] | None:
        if self._idle:
            return next(iter(self._idle)), None
        if len(self._incomplete) > 1:  # one of them is the newcomer
            return next(iter(self._incomplete)), "incomplete_request"
        if self._unread:
            return next(iter(self._unread)), "unread_answer"
        if self._incomplete:
            return next(iter(self._incomplete)), "connections"
        return None

    def _leave_stage(self, connection: C) -> None:
        if connection in self._incomplete:
            self._incomplete_bytes -= self._incomplete.pop(connection)
        elif connection in self._unread:
            self._unread_bytes -= self._unread.pop(connection)
        elif connection in self._idle:
            del self._idle[connection]
            for group in self._groups[connection]:
                del self._idle_of[group][connection]
                if not self._idle_of[group]:
                    del self._idle_of[group]
