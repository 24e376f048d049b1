"""The checks of everything that the gateway depends on: those behind /readyz and /status, and those of the doctor.

/readyz asks the parts that run; the doctor runs without a gateway and tries each dependency. No check shows a secret,
and each has a deadline.
"""

import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from redis import RedisError, ResponseError
from redis.asyncio import Redis
from sqlalchemy import Connection, inspect, text

from ..cluster.cluster import ClusterStatistics
from ..cluster.node_keys import NodeKeys
from ..cluster.redis.catch_up import keys_fit
from ..cluster.redis.client import COMMAND_SECONDS, redis_client, with_fresh_connection
from ..cluster.redis.tls import check_tls
from ..database.engine import Database, translate_errors
from ..database.schema import prices
from ..deribit.auth import Credentials
from ..deribit.client import DeribitClient
from ..deribit.doors import Door
from ..deribit.error_codes import METHOD_NOT_FOUND
from ..deribit.http_client import HttpClient
from ..deribit.upstream_clock import UpstreamClock
from ..errors import CryptomarketError, DatabaseUnavailable, ExchangeRefused, ExchangeUnreachable
from ..market.catalogue import Catalogue, with_nearest
from ..market.latest import LatestValues
from ..market.ticker_index import TickerIndex
from ..model import UpstreamState
from ..public_site import PublicSite
from ..web.health import Check
from .server import bound_socket

__all__ = [
    "Doctor",
    "clocks_check",
    "database_check",
    "exchange_clock_check",
    "keys_check",
    "login_check",
    "public_url_check",
    "redis_check",
    "tickers_check",
    "upstream_check",
]

#: The deadline of the database behind /readyz, which orchestrators ask for every few seconds.
DATABASE_SECONDS = 2.0
#: The deadline of each of the doctor's checks: longer than any healthy answer.
DOCTOR_SECONDS = 10.0
#: Below this a database of a few tickers fills the disk within weeks.
LEAST_FREE_BYTES = 256 * 2**20
#: The key written to Redis to see whether it takes writes.
WRITE_TEST = "cryptomarket:ready"
OTHER_KEYS = "messages of other nodes do not verify: give every node the same CRYPTOMARKET_SECRET_KEY or key file"
OTHER_TIME = "messages of other nodes seem to be of another time: set the clocks, which must agree within 15 seconds"


def upstream_check(latest: LatestValues, catalogue: Catalogue) -> Check:
    """Whether prices are fresh on this node. If not, the reason may be that the exchange lists no configured ticker."""
    upstream = latest.upstream()
    live, unlisted = upstream.state is UpstreamState.LIVE, catalogue.unlisted()
    reasons = [upstream.reason] if upstream.reason else []
    if not live and unlisted and len(unlisted) == len(set(latest.tickers)):
        reasons.append(_not_listed(unlisted))
    return Check(live, ": ".join([str(upstream.state), *reasons]))


def tickers_check(catalogue: Catalogue) -> Check:
    """Whether the exchange lists every configured ticker; True until its list is read."""
    if unlisted := catalogue.unlisted():
        return Check(False, _not_listed(unlisted), needed=False)
    detail = "all listed by the exchange" if catalogue.fetched else "not compared yet with the list of the exchange"
    return Check(True, detail, needed=False)


def _not_listed(unlisted: Mapping[str, Sequence[str]]) -> str:
    return f"the exchange does not list {with_nearest(unlisted)}; see CRYPTOMARKET_TICKERS"


def login_check(client: DeribitClient) -> Check:
    """Whether the application's API key works; public prices are streamed without it."""
    failure = client.login.problem or "not logged in yet"
    detail = "logged in" if client.authenticated else f"public prices only, ten a second at most: {failure}"
    return Check(client.authenticated, detail, needed=False)


def exchange_clock_check(clock: UpstreamClock) -> Check:
    """Whether the clock of this machine agrees with the exchange's; log-ins are signed by the exchange's."""
    return Check(not clock.problem, clock.problem or "agrees with this machine's", needed=False)


async def database_check(ping: Callable[[], Awaitable[None]]) -> Check:
    """Whether the database answers. While it does not, prices are streamed, and wait in a queue to be stored."""
    try:
        with anyio.fail_after(DATABASE_SECONDS):
            await ping()
    except TimeoutError:
        return Check(False, f"no answer within {DATABASE_SECONDS:g} s", needed=False)
    except DatabaseUnavailable as exc:
        return Check(False, "does not answer", needed=False, cause=str(exc))
    return Check(True, "answers")


async def redis_check(redis: Redis, *, seconds: float = COMMAND_SECONDS) -> Check:
    """Whether Redis answers and takes writes, each within ``seconds``. The answer never shows its address."""

    def ping() -> Awaitable[Any]:
        return redis.ping()

    try:
        await with_fresh_connection(redis, ping, seconds=seconds)
        try:
            with anyio.fail_after(seconds):
                await redis.set(WRITE_TEST, b"", px=1_000)
        except ResponseError as exc:
            return Check(False, f"answers, but takes no writes: {type(exc).__name__}", needed=False)
    except (RedisError, OSError, TimeoutError) as exc:
        return Check(False, type(exc).__name__, needed=False)
    return Check(True, "answers")


def keys_check(found: ClusterStatistics) -> Check:
    """Whether the nodes have the same keys. Nodes with different keys refuse each other's messages and work alone."""
    return Check(False, OTHER_KEYS, needed=False) if found.keys_differ else Check(True, "no other key was seen")


def clocks_check(found: ClusterStatistics) -> Check:
    """Whether the clocks of the nodes agree. If not, nodes refuse each other's messages and work alone."""
    return Check(False, OTHER_TIME, needed=False) if found.clocks_differ else Check(True, "no other time was seen")


def public_url_check(url: str, trusted_proxies: Sequence[str]) -> Check:
    """Whether CRYPTOMARKET_PUBLIC_URL protects the persons of this site. The gateway also works without it."""
    site = PublicSite(url)
    if site.secure or site.loopback:
        return Check(True, f"{url}; other hosts are refused")
    if url:
        detail = f"{url} is not encrypted: cookies and secrets of persons can be read on the way; use https"
        return Check(False, detail, needed=False)
    detail = "CRYPTOMARKET_PUBLIC_URL is not set: any host is served"
    if trusted_proxies:
        return Check(
            False, f"{detail}, though there is a proxy in front; set it to the address in browsers", needed=False
        )
    return Check(True, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Tries everything that a gateway with these settings would use.

    ``key_file`` is None when the key is a setting, ``keys`` when there is no key yet; without ``credentials`` only
    public prices are configured; without ``redis_url`` one process is.
    """

    address: tuple[str, int]
    tickers: Iterable[str]
    database_url: str
    key_file: Path | None
    door: Door
    proxy: str | None = None
    ca_file: str | None = None
    credentials: Credentials | None = None
    redis_url: str | None = None
    keys: NodeKeys | None = None
    deadline_seconds: float = DOCTOR_SECONDS

    async def examine(self) -> dict[str, Check]:
        """Make all checks at once and return them by name. A check that fails does not affect the others."""
        checks = {
            "port": self._port,
            "database": self._database,
            "disk": self._disk,
            "exchange": self._exchange,
            "prices": self._prices,
            "login": self._login,
            "redis": self._redis,
        }
        found = dict.fromkeys(checks, Check(False, "not tried"))

        async def examine_one(name: str) -> None:
            found[name] = await self._bounded(checks[name])

        async with anyio.create_task_group() as tasks:
            for name in checks:
                tasks.start_soon(examine_one, name)
        return found

    async def _bounded(self, check: Callable[[], Awaitable[str]]) -> Check:
        try:
            with anyio.fail_after(self.deadline_seconds):
                return Check(True, await check())
        except TimeoutError as exc:
            return Check(False, str(exc) or f"no answer within {self.deadline_seconds:g} s")
        except (CryptomarketError, RedisError, OSError) as exc:
            return Check(False, str(exc) or type(exc).__name__)

    async def _port(self) -> str:
        host, port = self.address
        bound_socket(host, port).close()
        return f"{host}:{port} is free"

    async def _database(self) -> str:
        async with Database(self.database_url, pooled=False) as database:
            with translate_errors(database.place):
                async with database.writers.connect() as connection:
                    await connection.run_sync(_write_and_read)
                    await connection.rollback()
        return f"{database.place} answers and takes writes"

    async def _disk(self) -> str:
        database = Database(self.database_url, pooled=False)
        folders = {Path(database.place).parent} if database.dialect == "sqlite" else set()
        if self.key_file is not None:
            folders.add(self.key_file.absolute().parent)
        return (
            "; ".join([await anyio.to_thread.run_sync(_try_folder, folder) for folder in sorted(folders)]) or "unused"
        )

    async def _exchange(self) -> str:
        address = self.door.http_url
        clock = UpstreamClock()
        async with HttpClient(address, proxy=self.proxy, ca_file=self.ca_file, clock=clock) as client:
            try:
                known = TickerIndex(await client.tickers())
            except ExchangeRefused as exc:
                advice = ": wrong host? see CRYPTOMARKET_EXCHANGE and CRYPTOMARKET_DERIBIT_HTTP_URL"
                raise CryptomarketError(f"{address}: {exc}{advice if exc.code == METHOD_NOT_FOUND else ''}") from None
            except ExchangeUnreachable as exc:
                raise CryptomarketError(f"{address}: {exc}") from None
        if unlisted := {ticker: known.nearest(ticker) for ticker in self.tickers if ticker not in known}:
            raise CryptomarketError(f"{address} answers, but {_not_listed(unlisted)}")
        if clock.problem:
            raise CryptomarketError(f"{address} answers, but {clock.problem}: set it")
        return f"{address} answers and knows {len(known)} tickers"

    async def _prices(self) -> str:
        """Subscribe the exchange's own channels at the host of prices, without a login."""
        address = self.door.prices_url

        def found(client: DeribitClient) -> str | CryptomarketError:
            said = client.statistics()
            if said.state == UpstreamState.DOWN:
                return CryptomarketError(f"{address}: {said.reason}")
            if said.state == UpstreamState.CONNECTING:
                return ""
            return f"{address} takes subscriptions" + (f"; {said.reason}" if said.reason else "")

        return await self._connect(None, found)

    async def _login(self) -> str:
        """Log in over a new connection. It has its own exchange session, so that of a running gateway stays."""
        if self.credentials is None:
            return "no API key is configured: public prices only"
        client_id = self.credentials.client_id

        def found(client: DeribitClient) -> str | CryptomarketError:
            if client.login.problem:
                return CryptomarketError(client.login.problem)
            return f"the API key {client_id} logs in" if client.authenticated else ""

        return await self._connect(self.credentials, found)

    async def _connect(
        self, credentials: Credentials | None, found: Callable[[DeribitClient], str | CryptomarketError]
    ) -> str:
        """Run a client until it is ``found`` how things are, and return that or raise it."""
        client = DeribitClient(
            self.door,
            tickers=(),
            publish=lambda _: None,
            credentials=credentials,
            exchange_session="cryptomarket-doctor",
            proxy=self.proxy,
            ca_file=self.ca_file,
        )
        ends = time.monotonic() + self.deadline_seconds - 1
        async with anyio.create_task_group() as tasks:
            await tasks.start(client.run)
            while not (outcome := found(client)) and time.monotonic() < ends:  # noqa: ASYNC110
                await anyio.sleep(0.05)
            reason = client.statistics().reason or "no connection"
            tasks.cancel_scope.cancel()
        if isinstance(outcome, CryptomarketError):
            raise outcome
        if not outcome:
            raise CryptomarketError(f"{self.door.prices_url} does not answer: {reason}")
        return outcome

    async def _redis(self) -> str:
        if self.redis_url is None:
            return "not configured: one process"
        async with redis_client(self.redis_url, command_seconds=self.deadline_seconds) as redis:
            await check_tls(redis)
            check = await redis_check(redis, seconds=self.deadline_seconds)
            if not check.ok:
                raise CryptomarketError(check.detail)
            if self.keys is not None and not await keys_fit(redis, self.keys):
                raise CryptomarketError(OTHER_KEYS)
        return "answers and takes writes"


def _write_and_read(connection: Connection) -> None:
    """Write a row and read it back, in a transaction that the caller rolls back. The table may not exist yet."""
    if inspect(connection).has_table(prices.name):
        row = {
            "ticker": "_doctor",
            "timestamp": 0,
            "price": Decimal(1),
            "exchange_timestamp": 0,
            "source": "",
            "epoch": 0,
        }
        connection.execute(prices.insert().values(row))
        connection.execute(prices.select().where(prices.c.ticker == "_doctor")).one()
    else:
        connection.execute(text("CREATE TABLE cryptomarket_doctor (number INTEGER)"))
        connection.execute(text("INSERT INTO cryptomarket_doctor VALUES (1)"))
        connection.execute(text("SELECT number FROM cryptomarket_doctor")).one()


def _try_folder(folder: Path) -> str:
    """Write a file into the folder. Raises OSError, or CryptomarketError when its disk is nearly full."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * 4096)
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise CryptomarketError(f"{folder} has {free / 2**20:,.0f} MiB free, less than {LEAST_FREE_BYTES >> 20}")
    return f"{folder} takes writes, {free / 2**30:,.1f} GiB free"
