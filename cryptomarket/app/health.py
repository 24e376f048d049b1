"""The checks behind /readyz: each asks one thing that the gateway depends on, and says in words how it is."""

from collections.abc import Awaitable, Callable

import anyio
from redis import RedisError, ResponseError

from ..cluster.redis.client import redis_client
from ..deribit.client import DeribitClient
from ..errors import DatabaseUnavailable
from ..market.latest import LatestValues
from ..model import UpstreamState
from ..web.health import Check

__all__ = ["database_check", "login_check", "redis_check", "upstream_check"]

#: Nobody who asks for the state waits longer for an answer.
DATABASE_SECONDS, REDIS_SECONDS = 2.0, 0.5
#: What is written to see whether Redis takes it.
READY = "cryptomarket:ready"


def upstream_check(latest: LatestValues) -> Check:
    """Whether prices are fresh, wherever they come from."""
    upstream = latest.upstream()
    says = f"{upstream.state}: {upstream.reason}" if upstream.reason else str(upstream.state)
    return Check(upstream.state is UpstreamState.LIVE, says)


def login_check(deribit_client: DeribitClient) -> Check:
    """Whether the application's key works; without it prices flow all the same."""
    trouble = deribit_client.login.statistics()["trouble"]
    says = "logged in" if deribit_client.authenticated else f"public prices only: {trouble or 'not logged in yet'}"
    return Check(deribit_client.authenticated, says, needed=False)


async def database_check(ping: Callable[[], Awaitable[None]]) -> Check:
    """Whether the database answers; without it prices are streamed and kept for later."""
    try:
        with anyio.fail_after(DATABASE_SECONDS):
            await ping()
    except (DatabaseUnavailable, TimeoutError) as exc:
        return Check(False, str(exc) or f"no answer within {DATABASE_SECONDS:g} s", needed=False)
    return Check(True, "answers")


async def redis_check(url: str) -> Check:
    """Whether Redis answers and takes what is written; its address is not said, it may hold a password."""
    try:
        async with redis_client(url, connect_seconds=REDIS_SECONDS, seconds=REDIS_SECONDS) as redis:
            await redis.ping()
            try:
                await redis.set(READY, b"", px=1_000)
            except ResponseError as exc:
                return Check(False, f"answers, but takes no writes: {type(exc).__name__}", needed=False)
    except (RedisError, OSError) as exc:
        return Check(False, type(exc).__name__, needed=False)
    return Check(True, "answers")
