"""The tickers that streams of all nodes want, in Redis, where the leader stores them for programs that are no node.

The key expires soon after the last leader has gone: without a gateway no stream wants anything.
"""

from collections.abc import Collection
from typing import Annotated

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
#: More was not stored by a gateway. The readers have no key of the nodes: they check the form.
MAX_BYTES, MAX_TICKERS = 2**16, 1_000

_Ticker = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64)]
_decoder = msgspec.json.Decoder(Annotated[list[_Ticker], msgspec.Meta(max_length=MAX_TICKERS)])


def store_wanted(pipe: Pipeline, tickers: Collection[str]) -> None:
    """Add the command that stores the tickers to the pipeline."""
    pipe.set(WANTED, msgspec.json.encode(sorted(tickers)), ex=EXPIRE_SECONDS)


async def read_wanted(url: str) -> list[str]:
    """The tickers that streams want, sorted; none where no gateway runs. Raises CacheUnavailable."""
    async with redis_client(url) as redis:
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                stored = await redis.get(WANTED)
            return _decoder.decode(stored[: MAX_BYTES + 1]) if stored else []
        except (RedisError, OSError, TimeoutError, msgspec.DecodeError) as exc:
            raise CacheUnavailable(f"the wanted tickers cannot be read from Redis ({type(exc).__name__})") from None
