"""What the leader stores in Redis for nodes that missed messages: the latest ticks, and the last batches.

The latest ticks are the newest of every ticker, whatever its age. The batches hold every tick of the last minutes, so
that a node that was cut off or has just started can resume a stream as any other node does.
"""

from collections.abc import Mapping
from typing import Any

import anyio
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from ...model import Tick
from ..node_keys import NodeKeys
from .client import COMMAND_SECONDS, own_channel
from .codec import UnreadableBatch, decode_batch, decode_tick, encode_tick
from .refused import RefusedMessages
from .signer import Signer

__all__ = ["BATCHES", "LATEST", "CatchUp", "keys_fit"]

LATEST, BATCHES = "cryptomarket:latest", "cryptomarket:batches"
EXPIRE_SECONDS = 86_400
#: A quarter of an hour at the usual two batches a second, 20 s at the fastest rate.
MAX_BATCHES = 4_096
#: Batches read by one command.
PAGE = 128


def _place(tick: Tick) -> tuple[int, int]:
    return tick.epoch, tick.sequence


async def keys_fit(redis: Redis, keys: NodeKeys) -> bool:
    """Whether the last batch that a leader stored verifies, if there is one.

    Raises RedisError, OSError or TimeoutError.
    """
    with anyio.fail_after(COMMAND_SECONDS):
        found: Any = await redis.xrevrange(BATCHES, count=1)
    signer = Signer(keys, own_channel(redis, BATCHES))
    return all(signer.verified(fields.get(b"b", b"")) is not None for _, fields in found)


class CatchUp:
    """The latest ticks and the last batches in Redis, as one node writes and reads them."""

    def __init__(self, redis: Redis, keys: NodeKeys, refused: RefusedMessages) -> None:
        self._redis = redis
        self._refused = refused
        self._latest, self._batches = (Signer(keys, own_channel(redis, name)) for name in (LATEST, BATCHES))

    def store(self, pipe: Pipeline, ticks: Mapping[str, Tick], batch: bytes) -> int:
        """Add the commands that store the ticks and their batch to the pipeline; returns how many they are."""
        if not ticks:
            return 0
        fields: Any = {"b": self._batches.sign(batch)}
        pipe.hset(LATEST, mapping={ticker: self._latest.sign(encode_tick(tick)) for ticker, tick in ticks.items()})
        pipe.expire(LATEST, EXPIRE_SECONDS)
        pipe.xadd(BATCHES, fields, maxlen=MAX_BATCHES, approximate=True)
        pipe.expire(BATCHES, EXPIRE_SECONDS)
        return 4

    async def since(self, place: tuple[int, int]) -> list[Tick]:
        """Every stored tick after the (epoch, sequence), and the newest of each ticker, in order.

        Raises RedisError, OSError or TimeoutError.
        """
        missed: list[list[Tick]] = []
        before = "+"
        while True:
            with anyio.fail_after(COMMAND_SECONDS):
                found: Any = await self._redis.xrevrange(BATCHES, max=before, count=PAGE)
            batches = [self._ticks(fields.get(b"b", b"")) for _, fields in found]
            missed += batches
            if len(found) < PAGE or any(ticks and _place(ticks[0]) <= place for ticks in batches):
                break
            before = f"({found[-1][0].decode()}"
        with anyio.fail_after(COMMAND_SECONDS):
            latest: Any = await self._redis.hgetall(LATEST)
        newest = [tick for ticker, message in latest.items() if (tick := self._tick(ticker, message))]
        ticks = {_place(tick): tick for tick in (*newest, *(tick for batch in missed for tick in batch))}
        latest_places = set(map(_place, newest))
        return [ticks[one] for one in sorted(ticks) if one > place or one in latest_places]

    def _ticks(self, message: bytes) -> list[Tick]:
        data = self._batches.verified(message)
        if data is None:
            self._refused.add("signature")
            return []
        try:
            return [found for found in decode_batch(data).messages if isinstance(found, Tick)]
        except UnreadableBatch:
            self._refused.add("format")
            return []

    def _tick(self, ticker: bytes, message: bytes) -> Tick | None:
        data = self._latest.verified(message)
        if data is None:
            self._refused.add("signature")
            return None
        try:
            tick = decode_tick(data)
        except UnreadableBatch:
            self._refused.add("format")
            return None
        if tick.ticker.encode() != ticker:  # copied from another ticker
            self._refused.add("signature")
            return None
        return tick
