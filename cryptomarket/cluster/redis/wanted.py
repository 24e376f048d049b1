"""The tickers that streams of all nodes want, in Redis, where the leader stores them for programs that are no node.

The key expires soon after the last leader has gone: without a gateway no stream wants anything.
"""

from collections.abc import Collection

import anyio
import msgspec
from redis import RedisError
from redis.asyncio.client import Pipeline

from ...errors import CacheUnavailable
from .client import COMMAND_SECONDS, redis_client

__all__ = ["EXPIRE_SECONDS", "WANTED", "read_wanted", "store_wanted"]

WANTED = "cryptomarket:wanted"
#: Longer than it takes to replace a leader.
EXPIRE_SECONDS = 15


def store_wanted(pipe: Pipeline, tickers: Collection[str]) -> None:
    """Add the command that stores the tickers to the pipeline."""
    pipe.set(WANTED, msgspec.json.encode(sorted(tickers)), ex=EXPIRE_SECONDS)


async def read_wanted(url: str) -> list[str]:
    """The tickers that streams want, sorted; none where no gateway runs. Raises CacheUnavailable."""
    async with redis_client(url) as redis:
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                stored = await redis.get(WANTED)
            return msgspec.json.decode(stored, type=list[str]) if stored else []
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as exc:
            raise CacheUnavailable(f"the wanted tickers cannot be read from Redis ({type(exc).__name__})") from None
