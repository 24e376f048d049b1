"""The composition root: builds every part from the settings, owns the one task group, and stops them in order.

A tick comes from the supervisor onto the bus; the bus feeds the board, the streams and the recorder, in that order.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import anyio
import structlog
import uvicorn
from anyio.abc import TaskStatus
from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..cluster.cluster import Cluster
from ..cluster.redis.client import redis_client
from ..cluster.redis.cluster import RedisCluster
from ..cluster.redis.worker_metrics import WorkerMetrics
from ..cluster.single import SingleNode
from ..deribit.auth import Credentials, Secret
from ..deribit.client import DeribitClient
from ..deribit.http_client import HttpClient
from ..deribit.rate_limit import RateLimiter
from ..history.backfill import Backfill
from ..history.candles import MinuteBar
from ..history.daily_jobs import DailyJobs, Job, Retention, housekeeping
from ..history.recent_slots import RecentSlots
from ..history.recorder import Recorder
from ..history.store import Store
from ..market.catalogue import Catalogue
from ..market.demand import Demand
from ..market.latest import LatestValues
from ..model import Message
from ..persons.cache.memory import MemoryCache
from ..persons.cache.redis import RedisCache
from ..persons.keys import key_file, operator_keys
from ..persons.last_seen import LastSeen
from ..persons.seen_repository import SeenRepository
from ..persons.vault import Vault
from ..settings import Settings
from ..stream.endpoint import StreamEndpoint
from ..stream.manager import ServerSSEManager
from ..web.api.problems import problem_response
from ..web.app import create_app
from ..web.health import Check, Health
from . import metrics
from .health import database_check, login_check, redis_check, upstream_check
from .leader import BackgroundTask, LeaderTasks
from .metrics import CONTENT_TYPE, LoopLag, exposition, of_workers
from .persons import Persons
from .server import GRACE_SECONDS, Server, bound_socket, http_protocol, streams_allowed
from .workers import until_orphaned

__all__ = ["BackgroundTask", "Gateway", "serve"]

log = structlog.get_logger(__name__)


#: How often a worker writes its numbers for the others.
POST_SECONDS = 5.0


class Gateway:
    """All parts of one node; ``app`` answers requests while ``running()`` is entered.

    ``group`` names the workers behind one port, of which this node is one; then Redis must be there.
    """

    def __init__(self, settings: Settings, group: str = "") -> None:
        self.settings = settings
        self.store = Store(settings.database_url.get_secret_value(), interval=settings.snapshot_interval)
        self.latest = LatestValues(settings.tickers, monotonic=time.monotonic, wall=time.time)
        self.demand = Demand(settings.tickers, max_tickers=settings.max_tickers)
        self.demand.subscribe(self.latest.follow)
        self.memory = RecentSlots(settings.snapshot_interval)
        self._proxy = settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None
        self._budget = RateLimiter()  # one for both ways to the exchange, which counts them together
        self.exchange = HttpClient(
            settings.deribit_http_url, proxy=self._proxy, ca_file=settings.deribit_ca_file, budget=self._budget
        )
        self.catalogue = Catalogue(self.exchange.tickers, always=settings.tickers)
        self.manager = ServerSSEManager(
            *settings.tickers,
            "connection",
            latest=self.latest,
            demand=self.demand,
            arrived=lambda session: self.persons.notifier.stream_opened(session),
        )
        self._redis = redis_client(settings.redis_url.get_secret_value()) if settings.redis_url else None
        self.cluster: Cluster = SingleNode(self.store.take_epoch)
        if self._redis:
            self.cluster = RedisCluster(self._redis, settings.node, self.store)
        self.demand.subscribe(self.cluster.follow)
        self.worker_metrics = WorkerMetrics(self._redis, group, settings.node) if self._redis and group else None
        self.vault = Vault(_keys(settings))
        self.persons = Persons(
            RedisCache(self._redis) if self._redis else MemoryCache(),
            self.vault,
            request_leader=self.cluster.request,
            publish=self.cluster.publish,
            has_leader=self.cluster.has_leader,
            streams=self.manager,
            logins_per_minute=settings.logins_per_minute,
        )
        self.last_seen = LastSeen(
            self.persons.sessions.logged_in,
            SeenRepository(self.store.database),
            keep_days=settings.keep_persons_days,
        )
        self.app = create_app(
            tickers=settings.tickers,
            latest=self.latest,
            store=self.store,
            stream=self._endpoint(),
            catalogue=self.catalogue,
            interval=settings.snapshot_interval,
            health=self.health,
            allowed_origins=settings.allowed_origins,
            routes=[Route("/metrics", self._metrics)],
            persons=self.persons.services,
            statistics=self.statistics,
            bars=self._bars,
        )
        self.lag = LoopLag()
        retention = Retention(settings.keep_prices_days, settings.keep_candles_days)
        self.maintenance = DailyJobs(
            self.store, [*housekeeping(self.store, retention), Job("persons", self.last_seen.write)]
        )
        self._leader_tasks: LeaderTasks | None = None
        self._stopping = False
        self._crashed: Callable[[], None] = lambda: None
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
            identify=self.persons.services.authenticator.browser_session,
        )

    def _bars(self, ticker: str) -> Sequence[MinuteBar]:
        """The minutes of a ticker that are not stored yet, as far as this node knows them."""
        return self._leader_tasks.recorder.bars(ticker) if self._leader_tasks and self._leader_tasks.recorder else ()

    def _on_message(self, message: Message) -> None:
        """Take what the bus delivers: the board first, then the streams, the rows and the persons."""
        self.latest.on_message(message)
        self.manager.on_message(message)
        self.memory.on_message(message)
        if self._leader_tasks:
            self._leader_tasks.on_message(message)
        self.persons.notifier.on_message(message)

    @contextlib.asynccontextmanager
    async def running(
        self, parts: Sequence[BackgroundTask] = (), crashed: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Open the database, start every part, and stop them in order at the end.

        Raises StartError when the database cannot be used. A part that fails is logged, told to ``crashed``, and raised
        when the block is left: a gateway with a dead heart must not go on answering.
        """
        self._crashed = crashed
        async with self.store, self.exchange:
            await self.store.migrate()
            self.vault.load()
            self.cluster.subscribe(self._on_message)
            async with anyio.create_task_group() as tasks:
                own: list[BackgroundTask] = [
                    self.manager.run,
                    self.catalogue.run,
                    self.lag.run,
                    self.persons.login_queue.run,
                    self.persons.notifier.run,
                    self.cluster.run,
                    partial(self.cluster.lead, self._lead),
                    *([self._post_metrics] if self.worker_metrics else []),
                ]
                for part in [*own, *parts]:
                    await tasks.start(self._guarded, part)
                yield
                tasks.cancel_scope.cancel()
            if self._redis:
                await self._redis.aclose()
        if self._crash:
            raise self._crash

    async def _lead(self, epoch: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run what only the leader runs, until cancelled."""
        backfill = Backfill(self.store, self.exchange, memory=self.memory)
        self._leader_tasks = leader = LeaderTasks(
            deribit_client=self._new_deribit_client(),
            recorder=self._new_recorder(epoch, backfill) if self.settings.recorder else None,
            backfill=backfill,
            maintenance=self.maintenance,
            cluster=self.cluster,
        )
        try:
            async with anyio.create_task_group() as tasks:
                for part in leader.parts(self.persons.leader_worker(leader.call, [self.last_seen.record])):
                    await tasks.start(self._guarded, part)
                task_status.started()
        finally:
            self._leader_tasks = None

    def _new_recorder(self, epoch: int, backfill: Backfill) -> Recorder:
        return Recorder(
            self.store,
            interval=self.settings.snapshot_interval,
            epoch=epoch,
            configured=self.settings.tickers,
            wrote=backfill.look,
        )

    def _new_deribit_client(self) -> DeribitClient:
        settings, secret = self.settings, self.settings.deribit_client_secret
        credentials = None
        if settings.deribit_client_id and secret:
            credentials = Credentials(settings.deribit_client_id, Secret(secret.get_secret_value()))
        return DeribitClient(
            settings.deribit_ws_url,
            tickers=settings.tickers,
            publish=self.cluster.publish,
            credentials=credentials,
            proxy=self._proxy,
            ca_file=settings.deribit_ca_file,
            budget=self._budget,
            on_instrument=lambda change: self.catalogue.changed(change.ticker, change.state),
            raw=credentials is not None,
            hint="without the exchange: `cryptomarket demo` shows simulated prices",
        )

    async def _guarded(self, part: BackgroundTask, *, task_status: TaskStatus[None]) -> None:
        try:
            await part(task_status=task_status)
        except Exception as exc:
            log.exception("a part of the gateway failed; stopping", part=getattr(part, "__qualname__", repr(part)))
            self._crash = exc
            self._crashed()

    async def drain(self) -> None:
        """Hand over the lead, then end every stream in order, over the window of the settings; not ready from here."""
        self._stopping = True
        await self.cluster.hand_over()
        await self.manager.drain(self.settings.drain_seconds)

    async def health(self) -> Health:
        """What works and what does not, each in words."""
        checks = {
            "process": Check(not self._stopping, "stopping" if self._stopping else "serving"),
            "database": await database_check(self.store.ping),
            "upstream": upstream_check(self.latest),
        }
        if self.settings.deribit_client_id and self._leader_tasks:
            checks["login"] = login_check(self._leader_tasks.deribit_client)
        if self._redis:
            checks["redis"] = await redis_check(self._redis)
        return Health(checks)

    def statistics(self) -> dict[str, object]:
        """The counters of each part of this node, by its name."""
        found: dict[str, object] = {"streams": self.manager.statistics(), "maintenance": self._daily()}
        found["persons"] = self.persons.notifier.statistics()
        if self._redis:
            found["cluster"] = self.cluster.statistics()
        if term := self._leader_tasks:
            found["upstream"] = term.deribit_client.statistics()
            if term.recorder:
                found["recorder"] = term.recorder.statistics()
            if term.leader_worker:
                found["persons"] = {
                    **asdict(term.leader_worker.statistics()),
                    **asdict(self.persons.notifier.statistics()),
                }
        return found

    def _daily(self) -> dict[str, object]:
        """The work of each day: the database's is done once for all nodes, each node has a catalogue of its own."""
        return {**self.maintenance.statistics(), "catalogue": self.catalogue.statistics()}

    def families(self) -> list[Metric]:
        """Everything that can be measured of this node now."""
        families = [
            *metrics.of_streams(self.manager.statistics()),
            *metrics.of_latest_values(self.latest),
            *metrics.of_loop_lag(self.lag.statistics()),
            *metrics.of_cluster(self.cluster.statistics()),
        ]
        if term := self._leader_tasks:
            families += metrics.of_upstream(term.deribit_client.statistics())
            if term.recorder:
                families += metrics.of_recorder(term.recorder.statistics())
            if term.leader_worker:
                families += metrics.of_persons(term.leader_worker.statistics(), self.persons.notifier.statistics())
        return families

    async def _metrics(self, _: Request) -> Response:
        text = exposition(self.families())
        if self.worker_metrics:
            others = await self.worker_metrics.others(self.cluster.members())
            text = exposition(of_workers({self.settings.node: text, **others}))
        return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    async def _post_metrics(self, *, task_status: TaskStatus[None]) -> None:
        """Let the other workers answer for this one."""
        task_status.started()
        while self.worker_metrics:
            await self.worker_metrics.store(exposition(self.families()))
            await anyio.sleep(POST_SECONDS)


def _keys(settings: Settings) -> Callable[[], Sequence[str]]:
    place = settings.secret_key_file or key_file(settings.database_url.get_secret_value())
    return operator_keys(settings.secret_key.get_secret_value() if settings.secret_key else None, Path(place))


async def serve(
    settings: Settings,
    parts: Callable[[Gateway], Sequence[BackgroundTask]] = lambda _: (),
    serving: Callable[[str], None] = lambda _: None,
    group: str = "",
) -> None:
    """Run a gateway and its HTTP server until a signal; ``parts`` work beside it, ``serving`` is told the address.

    Raises StartError when the address is taken or the database cannot be used, and what made a part fail.
    """
    listener = bound_socket(settings.host, settings.port, shared=bool(group))
    with listener:
        gateway = Gateway(settings, group)
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
        watching: list[BackgroundTask] = [partial(until_orphaned, server.stop)] if group else []
        async with gateway.running([*parts(gateway), *watching], crashed=server.stop):
            host, port = listener.getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
            log.info("serving", url=url)
            serving(url)
            await server.serve(sockets=[listener])
