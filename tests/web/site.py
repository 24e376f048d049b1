"""The web application on a real server: uvicorn on port 0, the real store on a file, and latest values of the test."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn

from cryptomarket.cluster.single import SingleNode
from cryptomarket.market.catalogue import Catalogue
from cryptomarket.market.demand import Demand
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Instrument, Price, Tick, Upstream, UpstreamState
from cryptomarket.stream.endpoint import StreamEndpoint
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.web.api.problems import problem_response
from cryptomarket.web.app import web_app
from cryptomarket.web.health import Check, Health
from tests.databases import StoredHistory

__all__ = ["NOON", "Site", "prices", "running_server", "running_site"]

#: 2025-11-20T12:00:00Z, the moment the clock of a site stands at unless the test moves it.
NOON = 1_763_640_000
TICKERS = ("btc_usd", "eth_usd")
ORIGINS = ("https://desk.example",)


class QuietServer(uvicorn.Server):
    """uvicorn that leaves the signals to the test runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


@contextlib.asynccontextmanager
async def running_server(app: Any, port: int = 0, http: Any = "auto") -> AsyncIterator[str]:
    """Serve the application on a real socket and yield its address. ``http`` is uvicorn's protocol."""
    config = uvicorn.Config(app, port=port, http=http, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = QuietServer(config)

    async def serve() -> None:
        with anyio.CancelScope(shield=True):  # a failing test must not leave its sockets open
            await server.serve()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        with anyio.fail_after(60):
            while not server.started:
                await anyio.lowlevel.checkpoint()
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True


PERPETUAL = Instrument("BTC-PERPETUAL", "future", "btc_usd", "USD", None, None, "", Decimal(10), Decimal("0.5"))


async def _listed() -> dict[str, Instrument | None]:
    return {**dict.fromkeys([*TICKERS, "sol_usd"]), PERPETUAL.name: PERPETUAL}


async def _read_catalogue() -> Catalogue:
    """A catalogue that was read once."""
    read = anyio.Event()

    async def sleep(_: float) -> None:
        read.set()
        await anyio.sleep_forever()

    catalogue = Catalogue(_listed, configured=TICKERS, sleep=sleep)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(catalogue.run)
        await read.wait()
        tasks.cancel_scope.cancel()
    return catalogue


@dataclass
class Site:
    """A running site and what a test changes in it."""

    client: httpx2.AsyncClient
    store: StoredHistory
    latest: LatestValues
    bus: SingleNode
    manager: ServerSSEManager
    demand: Demand
    address: str
    checks: dict[str, Check] = field(default_factory=dict)
    #: Further statistics of the site, by the name of the part.
    counters: dict[str, Callable[[], object]] = field(default_factory=dict)
    now: float = NOON
    #: What moves the prices, if anything does.
    market: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def get(self, path: str, **query: Any) -> httpx2.Response:
        return await self.client.get(path, params={k: v for k, v in query.items() if v is not None})

    def tick(self, ticker: str, price: str, ms: int | None = None, **beside: Any) -> None:
        self.bus.publish(Tick(ticker, Decimal(price), ms if ms is not None else int(time.time() * 1000), **beside))

    def upstream(self, state: UpstreamState) -> None:
        self.bus.publish(Upstream(state, int(time.time() * 1000)))


def prices(
    ticker: str, start: int, count: int, interval: int = 60, first: Decimal = Decimal("64000.10")
) -> list[Price]:
    """One price a slot, each a little higher than the one before."""
    return [
        Price(ticker, start + i * interval, first + i, (start + i * interval) * 1000 + 59_123, epoch=1)
        for i in range(count)
    ]


@contextlib.asynccontextmanager
async def running_site(
    folder: Path,
    stored: Sequence[Price] = (),
    *,
    port: int = 0,
    live: bool = False,
    interval: int = 60,
    origins: Sequence[str] = ORIGINS,
    http: Any = "auto",
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    """Run a site on a database in the folder with the given prices; with ``live`` its clock is the machine's."""
    latest = LatestValues(TICKERS, monotonic=time.monotonic, wall=time.time)
    demand = Demand(TICKERS)
    demand.subscribe(latest.follow)
    manager = ServerSSEManager(*TICKERS, "connection", latest=latest, demand=demand)
    catalogue = await _read_catalogue()
    endpoint = StreamEndpoint(
        manager,
        known=catalogue.known,
        nearest=catalogue.nearest,
        problem=problem_response,
        allowed_origins=origins,
        **(limits or {}),
    )
    async with StoredHistory(f"sqlite+aiosqlite:///{folder / 'prices.db'}", interval=interval) as store:
        await store.migrate()
        bus = SingleNode(epoch=await store.take_epoch())
        bus.subscribe(catalogue.on_message)
        bus.subscribe(latest.on_message)
        bus.subscribe(manager.on_message)
        await store.insert_missing(stored)
        site: Site

        async def health() -> Health:
            return Health(site.checks)

        app = web_app(
            tickers=TICKERS,
            latest=latest,
            database=store.database,
            stream=endpoint,
            catalogue=catalogue,
            interval=interval,
            health=health,
            allowed_origins=origins,
            statistics=lambda: {
                "streams": manager.statistics(),
                **{name: count() for name, count in site.counters.items()},
            },
            wall=time.time if live else lambda: site.now,
            **options,
        )
        async with (
            running_server(app, port, http) as address,
            httpx2.AsyncClient(base_url=address, timeout=60) as client,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(manager.run)
            site = Site(client, store, latest, bus, manager, demand, address)
            try:
                yield site
            finally:
                await manager.drain(0)
                tasks.cancel_scope.cancel()
