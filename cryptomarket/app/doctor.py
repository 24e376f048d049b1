"""What is configured and what of it can be reached, said before a start or while something is wrong."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import anyio
from redis import RedisError
from redis.asyncio import Redis

from ..deribit.http_client import HttpClient
from ..errors import CryptomarketError
from ..history.store import Store
from .server import bound_socket

__all__ = ["DoctorCheck", "examine"]

#: Longer than any healthy answer; a person is waiting.
DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """One thing that was looked at: its name, whether the gateway can work with it, and a sentence."""

    name: str
    ok: bool
    says: str


async def examine(
    *,
    address: tuple[str, int],
    tickers: Iterable[str],
    database_url: str,
    exchange_url: str,
    proxy: str | None,
    ca_file: str | None,
    redis_url: str | None,
    login: bool,
) -> list[DoctorCheck]:
    """Look at the port, the database, the exchange and Redis, and say of each what was found."""
    return [
        await _checked("port", lambda: _port(*address)),
        await _checked("database", lambda: _database(database_url)),
        await _checked("exchange", lambda: _exchange(exchange_url, proxy, ca_file, tickers, login)),
        await _checked("redis", lambda: _redis(redis_url)),
    ]


async def _checked(name: str, look: Callable[[], Awaitable[str]]) -> DoctorCheck:
    try:
        with anyio.fail_after(DEADLINE_SECONDS):
            return DoctorCheck(name, True, await look())
    except TimeoutError:
        return DoctorCheck(name, False, f"no answer within {DEADLINE_SECONDS:.0f} s")
    except (CryptomarketError, RedisError, OSError) as exc:
        return DoctorCheck(name, False, str(exc) or type(exc).__name__)


async def _port(host: str, port: int) -> str:
    bound_socket(host, port).close()
    return f"{host}:{port} is free"


async def _database(url: str) -> str:
    async with Store(url) as store:
        await store.ping()
        return f"{store.place} answers"


async def _exchange(url: str, proxy: str | None, ca_file: str | None, tickers: Iterable[str], login: bool) -> str:
    async with HttpClient(url, proxy=proxy, ca_file=ca_file) as api:
        known = await api.tickers()
    if unknown := [ticker for ticker in tickers if ticker not in known]:
        raise CryptomarketError(f"{url} answers, but does not know {', '.join(unknown)}")
    return f"{url} answers and knows {len(known)} tickers; {'an API key is set' if login else 'public prices only'}"


async def _redis(url: str | None) -> str:
    if url is None:
        return "not configured: one process"
    async with Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as redis:
        await redis.ping()
    return "answers"
