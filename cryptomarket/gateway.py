"""The composition root: builds every part from the settings, owns the one task group, and stops them in order.

A tick comes from the supervisor onto the bus; the bus feeds the board, the streams and the recorder, in that order.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import structlog
import uvicorn
from anyio.abc import TaskStatus
from msgspec import Raw
from prometheus_client.core import Metric
from redis import RedisError
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import measures
from .board import Board
from .catalogue import Catalogue
from .cluster.bus import LocalBus
from .cluster.desk import LocalDesk
from .deribit.api import Api
from .deribit.auth import Credentials, Secret
from .deribit.credits import Budget, Priority
from .deribit.supervisor import Supervisor
from .errors import DatabaseUnavailable, ExchangeUnreachable
from .history.backfill import Backfill
from .history.maintenance import DAY, Job, Maintenance, Retention, housekeeping
from .history.persons import Seen
from .history.recorder import Recorder
from .history.store import Store
from .metrics import CONTENT_TYPE, LoopLag, exposition
from .model import News, UpstreamState
from .persons.cache import MemoryCache
from .persons.keys import file_keys, key_file, split_keys
from .persons.office import Office
from .persons.redis_cache import RedisCache
from .persons.roster import Entry, Roster
from .persons.service import Service
from .persons.vault import Vault
from .server import GRACE_SECONDS, Server, bound_socket, http_protocol, streams_allowed
from .settings import Settings
from .stream.endpoint import StreamEndpoint
from .stream.manager import ServerSSEManager
from .web.app import create_app
from .web.health import Check, Health
from .web.problems import problem_response

__all__ = ["Gateway", "Part", "serve"]

log = structlog.get_logger(__name__)


class Part(Protocol):
    """Something that runs in the background for as long as the gateway does; it says when it has begun."""

    async def __call__(self, *, task_status: TaskStatus[None]) -> None: ...


class Gateway:
    """All parts of one node; ``app`` answers requests while ``running()`` is entered."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.database_url.get_secret_value(), interval=settings.snapshot_interval)
        self.board = Board(settings.tickers, monotonic=time.monotonic, wall=time.time)
        self._proxy = settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None
        self._budget = Budget()  # one for both ways to the exchange, which counts them together
        self.exchange = Api(
            settings.deribit_http_url, proxy=self._proxy, ca_file=settings.deribit_ca_file, budget=self._budget
        )
        self.catalogue = Catalogue(self.exchange.tickers, always=settings.tickers)
        self.manager = ServerSSEManager(
            *settings.tickers,
            "connection",
            board=self.board,
            demand=self._want,
            arrived=lambda session: self.office.announcer.arrived(session),
            max_tickers=settings.max_tickers,
        )
        self.desk = LocalDesk()
        self.office = self._new_office()
        self.roster = Roster(self.office.sessions.persons, self._write_seen)
        self.app = create_app(
            tickers=settings.tickers,
            board=self.board,
            store=self.store,
            stream=self._endpoint(),
            catalogue=self.catalogue,
            interval=settings.snapshot_interval,
            health=self.health,
            allowed_origins=settings.allowed_origins,
            routes=[Route("/metrics", self._metrics)],
            office=self.office,
            statistics=self.statistics,
            bars=lambda ticker: self._recorder.bars(ticker) if self._recorder else (),
        )
        self.lag = LoopLag()
        retention = Retention(settings.keep_prices_days, settings.keep_candles_days)
        self.maintenance = Maintenance(
            self.store, [*housekeeping(self.store, retention), Job("persons", self.roster.work)]
        )
        self._supervisor: Supervisor | None = None
        self._service: Service | None = None
        self._bus: LocalBus | None = None
        self._recorder: Recorder | None = None
        self._wanted: frozenset[str] = frozenset()
        self._stopping = False
        self._crash: Exception | None = None

    def _endpoint(self) -> StreamEndpoint:
        return StreamEndpoint(
            self.manager,
            known=self.catalogue.known,
            nearest=self.catalogue.nearest,
            problem=problem_response,
            allowed_origins=self.settings.allowed_origins,
            max_streams=self.settings.max_streams or streams_allowed(),
            max_streams_per_address=self.settings.max_streams_per_address,
            identify=self.office.front.browser,
        )

    def _new_office(self) -> Office:
        settings = self.settings
        redis, keys = settings.redis_url, settings.secret_key
        fixed = split_keys(keys.get_secret_value()) if keys else None
        place = Path(settings.secret_key_file or key_file(settings.database_url.get_secret_value()))
        return Office(
            RedisCache(redis.get_secret_value()) if redis else MemoryCache(),
            Vault((lambda: fixed) if fixed else file_keys(place)),
            ask=self.desk.ask,
            publish=self._tell,
            send=self.manager.send,
            present=self.manager.has_session,
            logins_per_minute=settings.logins_per_minute,
        )

    def _tell(self, news: News) -> None:
        if self._bus:
            self._bus.publish(news)

    async def _write_seen(self, entries: Sequence[Entry]) -> None:
        await self.store.write_seen([Seen(*entry) for entry in entries])
        if days := self.settings.keep_persons_days:
            await self.store.prune_persons(int(time.time()) - days * DAY)

    async def _call(self, method: str, params: Mapping[str, Any]) -> Raw:
        """A call for a person over the one connection: after everything that prices need, before the history."""
        if self._supervisor is None:
            raise ExchangeUnreachable("not connected")
        priority = Priority.NEWCOMER if method == "public/auth" else Priority.PERSON
        return await self._supervisor.call(method, dict(params), priority=priority)

    def _want(self, tickers: frozenset[str]) -> None:
        for ticker in self._wanted - tickers:
            self.board.forget(ticker)
        self._wanted = tickers
        if self._supervisor:
            self._supervisor.want(tickers)

    @contextlib.asynccontextmanager
    async def running(
        self, parts: Sequence[Part] = (), crashed: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Open the database, start every part, and stop them in order at the end.

        Raises StartError when the database cannot be used. A part that fails is logged, told to ``crashed``, and raised
        when the block is left: a gateway with a dead heart must not go on answering.
        """
        async with self.store, self.exchange:
            await self.store.migrate()
            self.office.vault.load()
            epoch = await self.store.take_epoch()
            bus = self._bus = LocalBus(epoch)
            self._supervisor = self._new_supervisor(bus)
            backfill = Backfill(self.store, self.exchange)
            recorders = [self._new_recorder(epoch, backfill)] if self.settings.recorder else []
            self._recorder = next(iter(recorders), None)
            receivers = (self.board.receive, self.manager.receive, self.office.announcer.receive)
            for receiver in (*receivers, *(recorder.receive for recorder in recorders)):
                bus.subscribe(receiver)
            self._service = service = self.office.service(self._call, met=self.roster.met)
            async with anyio.create_task_group() as tasks:
                own: list[Part] = [
                    self.manager.run,
                    *(recorder.run for recorder in recorders),
                    self._supervisor.run,
                    self.catalogue.run,
                    backfill.run,
                    self.maintenance.run,
                    self.lag.run,
                    self.office.front.run,
                    self.office.announcer.run,
                    service.run,
                    partial(self.desk.serve, service.handle),
                ]
                for part in [*own, *parts]:
                    await tasks.start(self._guarded, part, crashed)
                yield
                tasks.cancel_scope.cancel()
            await self.office.cache.aclose()
        if self._crash:
            raise self._crash

    def _new_recorder(self, epoch: int, backfill: Backfill) -> Recorder:
        return Recorder(
            self.store,
            interval=self.settings.snapshot_interval,
            epoch=epoch,
            configured=self.settings.tickers,
            wrote=backfill.look,
        )

    def _new_supervisor(self, bus: LocalBus) -> Supervisor:
        settings, secret = self.settings, self.settings.deribit_client_secret
        credentials = None
        if settings.deribit_client_id and secret:
            credentials = Credentials(settings.deribit_client_id, Secret(secret.get_secret_value()))
        return Supervisor(
            settings.deribit_ws_url,
            tickers=settings.tickers,
            publish=bus.publish,
            credentials=credentials,
            proxy=self._proxy,
            ca_file=settings.deribit_ca_file,
            budget=self._budget,
            on_instrument=lambda change: self.catalogue.changed(change.ticker, change.state),
            raw=credentials is not None,
            hint="without the exchange: `cryptomarket demo` shows simulated prices",
        )

    async def _guarded(self, part: Part, crashed: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
        try:
            await part(task_status=task_status)
        except Exception as exc:
            log.exception("a part of the gateway failed; stopping", part=getattr(part, "__qualname__", repr(part)))
            self._crash = exc
            crashed()

    async def drain(self) -> None:
        """End every stream in order, over the window of the settings; from here on the gateway is not ready."""
        self._stopping = True
        await self.manager.drain(self.settings.drain_seconds)

    async def health(self) -> Health:
        """What works and what does not, each in words."""
        upstream = self.board.upstream()
        fresh = upstream.state is UpstreamState.LIVE
        checks = {
            "process": Check(not self._stopping, "stopping" if self._stopping else "serving"),
            "database": await self._database_check(),
            "upstream": Check(fresh, f"{upstream.state}: {upstream.reason}" if upstream.reason else upstream.state),
        }
        if self.settings.deribit_client_id and self._supervisor:
            checks["login"] = self._login_check(self._supervisor)
        if self.settings.redis_url:
            checks["redis"] = await self._redis_check(self.settings.redis_url.get_secret_value())
        return Health(checks)

    def statistics(self) -> dict[str, object]:
        """The counters of each part of this node, by its name."""
        found: dict[str, object] = {"streams": self.manager.statistics(), "maintenance": self._daily()}
        if self._recorder:
            found["recorder"] = self._recorder.statistics()
        if self._supervisor:
            found["upstream"] = self._supervisor.statistics()
        if self._service:
            found["persons"] = self._service.statistics() | self.office.announcer.statistics()
        return found

    def _daily(self) -> dict[str, object]:
        """The work of each day: the database's is done once for all nodes, each node has a catalogue of its own."""
        return {**self.maintenance.statistics(), "catalogue": self.catalogue.statistics()}

    def families(self) -> list[Metric]:
        """Everything that can be measured of this node now."""
        families = [*measures.of_streams(self.manager.statistics()), *measures.of_board(self.board), self.lag.family()]
        if self._recorder:
            families += measures.of_recorder(self._recorder.statistics())
        if self._supervisor:
            families += measures.of_upstream(self._supervisor.statistics())
        if self._service:
            families += measures.of_persons(self._service.statistics() | self.office.announcer.statistics())
        return families

    async def _metrics(self, _: Request) -> Response:
        return Response(
            exposition(self.families()), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        )

    @staticmethod
    def _login_check(supervisor: Supervisor) -> Check:
        trouble = supervisor.login.statistics()["trouble"]
        says = "logged in" if supervisor.authenticated else f"public prices only: {trouble or 'not logged in yet'}"
        return Check(supervisor.authenticated, says, needed=False)

    async def _database_check(self) -> Check:
        try:
            with anyio.fail_after(2):
                await self.store.ping()
        except (DatabaseUnavailable, TimeoutError) as exc:
            return Check(False, str(exc) or "no answer within 2 s", needed=False)
        return Check(True, "answers")

    async def _redis_check(self, url: str) -> Check:
        try:
            async with Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5) as redis:
                await redis.ping()
        except (RedisError, OSError) as exc:
            return Check(False, type(exc).__name__, needed=False)
        return Check(True, "answers")


async def serve(settings: Settings, parts: Callable[[Gateway], Sequence[Part]] = lambda _: ()) -> None:
    """Run a gateway and its HTTP server until a signal; ``parts`` are further background work of the same gateway.

    Raises StartError when the address is taken or the database cannot be used, and what made a part fail.
    """
    listener = bound_socket(settings.host, settings.port)
    with listener:
        gateway = Gateway(settings)
        config = uvicorn.Config(
            gateway.app,
            http=http_protocol(),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_keep_alive=5,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = Server(config, gateway.drain)
        async with gateway.running(parts(gateway), crashed=server.stop):
            host, port = listener.getsockname()[:2]
            log.info("serving", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/")
            await server.serve(sockets=[listener])
