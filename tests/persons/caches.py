"""A cache in a real Redis, for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.persons.cache.redis import RedisCache

__all__ = ["redis_cache"]


@asynccontextmanager
async def redis_cache(url: str, *, command_seconds: float = 20.0) -> AsyncIterator[RedisCache]:
    """The cache in the Redis at the address, over a client of its own; its limit allows for a busy machine."""
    client = redis_client(url, command_seconds=30)  # longer than the cache's own limit, which must hold
    try:
        yield RedisCache(client, command_seconds=command_seconds)
    finally:
        await client.aclose()
