"""The connection pool to Redis that all parts of a node share.

Commands end in time, are sent once, and fail with the exceptions of the client library.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError  # noqa: A004 (Redis' own)

__all__ = ["BLOCK_SECONDS", "COMMAND_SECONDS", "own_channel", "redis_client", "with_fresh_connection"]

#: A Redis that has not replied to a command by then counts as unavailable. On a busy machine a new connection and its
#: first command can take more than half a second; a healthy Redis must not be given up for that.
COMMAND_SECONDS = 1.0
#: How long a blocking command waits in Redis for data.
BLOCK_SECONDS = 0.2

T = TypeVar("T")


class _Sending:
    """Raises the library's error when a connection broke just before sending: uvloop raises a bare RuntimeError."""

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """Send; raises ConnectionError when the connection is closed."""
        try:
            await super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        except RuntimeError as exc:
            raise ConnectionError("the connection was closed") from exc


class _Plain(_Sending, Connection):
    pass


class _Tls(_Sending, SSLConnection):
    pass


class _Local(_Sending, UnixDomainSocketConnection):
    pass


_CONNECTIONS: dict[type, type] = {Connection: _Plain, SSLConnection: _Tls, UnixDomainSocketConnection: _Local}


def redis_client(url: str, *, command_seconds: float = COMMAND_SECONDS) -> Redis:
    """A client of the Redis at the address; it retries nothing, since a command could be carried out twice.

    The time-out of its sockets leaves room for blocking commands; callers bound all others by COMMAND_SECONDS. Whoever
    creates the client closes it.
    """
    redis: Redis = Redis.from_url(
        url,
        socket_timeout=command_seconds + BLOCK_SECONDS,
        socket_connect_timeout=command_seconds,
        retry=Retry(NoBackoff(), 0),
    )
    pool = redis.connection_pool
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return redis


def own_channel(redis: Redis, name: str) -> str:
    """The name of a channel of Pub/Sub for the client's database, such as ``cryptomarket:bus:0``.

    Redis delivers what is published to the subscribers of all its databases. Without the number, gateways that use two
    databases of one Redis would deliver each other's prices and end each other's terms.
    """
    return f"{name}:{redis.connection_pool.connection_kwargs.get('db') or 0}"


async def with_fresh_connection(
    redis: Redis, command: Callable[[], Awaitable[T]], *, seconds: float = COMMAND_SECONDS
) -> T:
    """The result of a command that may be sent twice, within ``seconds``.

    When Redis restarted or changed its role, all idle connections of the pool are closed and the command is sent again.
    """
    with anyio.fail_after(seconds):
        try:
            return await command()
        except ConnectionError:
            await redis.connection_pool.disconnect(inuse_connections=False)
            return await command()
