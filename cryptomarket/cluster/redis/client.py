"""The way to Redis: commands that end in time, are sent once, and fail in the words of the client library."""

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError  # noqa: A004 (Redis' own)

__all__ = ["redis_client"]


class _Sending:
    """A connection that broke just before something was sent: uvloop says RuntimeError, which the library lets pass."""

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """Send, or raise what the library raises for a connection that is gone."""
        try:
            await super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        except RuntimeError as exc:
            raise ConnectionError("the connection was closed") from exc


class _Plain(_Sending, Connection):
    pass


class _Sealed(_Sending, SSLConnection):
    pass


class _Local(_Sending, UnixDomainSocketConnection):
    pass


_LINKS: dict[type, type] = {Connection: _Plain, SSLConnection: _Sealed, UnixDomainSocketConnection: _Local}


def redis_client(url: str, *, connect_seconds: float, seconds: float) -> Redis:
    """A client of the Redis at the address, which tries nothing again: a command could be done twice."""
    redis: Redis = Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=connect_seconds, retry=Retry(NoBackoff(), 0)
    )
    pool = redis.connection_pool
    pool.connection_class = _LINKS[pool.connection_class]
    return redis
