"""What the leader leaves in Redis for who missed something or comes later: the board, and the last batches.

The board is the newest tick of every ticker, however long ago; the batches are every tick of the last minutes, so that
a node that was cut off, or has just started, gives a browser what it missed as any other node does.
"""

from collections.abc import Mapping
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...model import Tick
from .codec import UnreadableBatch, decode_batch, decode_tick, encode_tick

__all__ = ["KEPT", "LATEST", "CatchUp"]

LATEST, KEPT = "cryptomarket:board", "cryptomarket:kept"
KEPT_SECONDS = 86_400
#: Batches that are kept: a quarter of an hour where they come as often as twice a second, 20 s at their fastest.
MOST_KEPT = 4_096
#: Batches that are read at once.
PIECE = 128
COMMAND_SECONDS = 0.5


def _place(tick: Tick) -> tuple[int, int]:
    return tick.epoch, tick.sequence


class CatchUp:
    """The board and the last batches, as one node writes and reads them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        #: What was read and was none of ours.
        self.garbled = 0

    def put(self, pipe: Pipeline, ticks: Mapping[str, Tick], batch: bytes) -> int:
        """Add to the pipeline what keeps the ticks and their batch; gives how many commands that are."""
        if not ticks:
            return 0
        fields: Any = {"b": batch}
        pipe.hset(LATEST, mapping={ticker: encode_tick(tick) for ticker, tick in ticks.items()})
        pipe.expire(LATEST, KEPT_SECONDS)
        pipe.xadd(KEPT, fields, maxlen=MOST_KEPT, approximate=True)
        pipe.expire(KEPT, KEPT_SECONDS)
        return 4

    async def since(self, place: tuple[int, int]) -> list[Tick]:
        """Every kept tick after the place, in order, with the newest of each ticker; raises what Redis does."""
        missed: list[list[Tick]] = []
        before = "+"
        while True:
            with anyio.fail_after(COMMAND_SECONDS):
                found: Any = await self._redis.xrevrange(KEPT, max=before, count=PIECE)
            pieces = [self._ticks(fields.get(b"b", b"")) for _, fields in found]
            missed += pieces
            if len(found) < PIECE or any(ticks and _place(ticks[0]) <= place for ticks in pieces):
                break
            before = f"({found[-1][0].decode()}"
        with anyio.fail_after(COMMAND_SECONDS):
            latest = await self._redis.hgetall(LATEST)
        newest = [tick for data in latest.values() if (tick := self._tick(data))]
        ticks = {_place(tick): tick for tick in (*newest, *(tick for piece in missed for tick in piece))}
        of_board = set(map(_place, newest))
        return [ticks[one] for one in sorted(ticks) if one > place or one in of_board]

    def _ticks(self, data: bytes) -> list[Tick]:
        try:
            return [message for message in decode_batch(data).messages if isinstance(message, Tick)]
        except UnreadableBatch:
            self.garbled += 1
            return []

    def _tick(self, data: bytes | str) -> Tick | None:
        try:
            return decode_tick(data)
        except UnreadableBatch:
            self.garbled += 1
            return None
