"""The composition root: builds every part from the settings, owns the one task group, and stops the parts in order.

A tick goes from the leader's `DeribitClient` to `Cluster.publish`, which calls the receivers in the order in which they
subscribe here: the catalogue, latest values, streams, recent slots, the recorder, notifications.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import anyio
import structlog

from ..database.address import is_readable_by_others
from ..database.engine import Database
from ..database.lease import DatabaseLease
from ..deribit.auth import Secret
from ..deribit.http_client import HttpClient
from ..deribit.oauth_client import OAuthApplication
from ..deribit.rate_limit import RateLimiter
from ..history.daily_jobs import DailyJobs, Job, Retention, history_jobs
from ..history.recent_slots import RecentSlots
from ..history.writer import HistoryWriter
from ..market.catalogue import Catalogue
from ..market.demand import Demand
from ..market.latest import LatestValues
from ..persons.keys import key_file, operator_keys
from ..persons.last_seen import LastSeen
from ..persons.seen_repository import SeenRepository
from ..persons.vault import Vault
from ..public_site import PublicSite
from ..refusals import Refusals
from ..settings import Settings, unknown_settings
from ..stream.endpoint import StreamEndpoint
from ..stream.manager import ServerSSEManager
from ..token_buckets import TokenBuckets
from ..web.api.problems import problem_response
from ..web.app import web_app
from ..web.operators import Operators
from ..web.security import HSTS
from .backend import new_backend
from .leader import Leader, Leadership
from .metrics import LoopLag
from .person_calls import PersonCalls
from .persons import Persons
from .server import Server, bound_socket, connection_limits, http_protocol, streams_allowed, uvicorn_config
from .status import NodeStatus
from .tasks import BackgroundTask, TaskRunner
from .workers import until_orphaned

__all__ = ["BackgroundTask", "Gateway", "serve"]

log = structlog.get_logger(__name__)

#: How many refused streams a second are told the nearest names, and how many at once.
SEARCHES_PER_SECOND, MOST_SEARCHES = 10.0, 50.0


class Gateway:
    """All parts of one node; ``app`` answers requests while `running` is entered.

    ``group`` names the workers behind one port of which this node is one; they need Redis.
    """

    def __init__(self, settings: Settings, group: str = "") -> None:
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value())
        self.history = HistoryWriter(self.database, settings.snapshot_interval)
        self.vault = Vault(_keys(settings))
        lease, keys = DatabaseLease(self.database), self.vault.keyring
        self._backend = backend = new_backend(settings, lease, self.database.place, keys, group)
        self._cluster = cluster = backend.cluster
        # The exchange counts the calls of both clients together.
        rate_limiter = RateLimiter(instrument_lists_at_once=settings.door.instrument_lists_at_once)
        self._http_client = HttpClient(
            settings.door.http_url,
            proxy=settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None,
            ca_file=settings.deribit_ca_file,
            budget=rate_limiter,
        )
        self._person_calls = _person_calls(settings, rate_limiter)
        self._searches = TokenBuckets(SEARCHES_PER_SECOND, MOST_SEARCHES)
        self._catalogue = Catalogue(self._http_client.tickers, configured=settings.tickers)
        self.latest = LatestValues(
            settings.tickers, monotonic=time.monotonic, wall=time.time, listed=self._catalogue.known
        )
        self.refusals = Refusals()
        self.demand = Demand(
            settings.tickers,
            max_tickers=settings.max_tickers,
            max_tickers_per_address=settings.max_tickers_per_address,
        )
        self.demand.subscribe(self.latest.follow)
        self.demand.subscribe(lambda _added, _released: cluster.want(self.demand.ranks()))
        self.manager = ServerSSEManager(
            *settings.tickers,
            "connection",
            latest=self.latest,
            demand=self.demand,
            event_log_bytes=settings.event_log_megabytes * 2**20,
            refused=self.refusals.refused,
            drain_seconds=None,  # `drain` has more to do
        )
        self._site = site = PublicSite(settings.public_url)
        last_seen = LastSeen(
            SeenRepository(self.database), lasting=backend.cache.lasting, keep_days=settings.keep_persons_days
        )
        self._write_last_seen = last_seen.run
        self.persons = Persons(
            backend.cache,
            self.vault,
            request_leader=cluster.request,
            publish=cluster.publish,
            has_leader=cluster.has_leader,
            streams=self.manager,
            logins_per_minute=settings.logins_per_minute,
            coinbase=self._person_calls.coinbase,
            site=site,
            on_change=last_seen.record,
            refused=self.refusals.refused,
        )
        self.manager.subscribe_sessions(self.persons.notifier.stream_opened)
        recent_slots = RecentSlots(settings.snapshot_interval)
        retention = Retention(settings.keep_prices_days, settings.keep_candles_days)
        persons_job = Job("persons", partial(last_seen.write_daily, self.persons.sessions.logged_in))
        daily_jobs = DailyJobs(self.database, [*history_jobs(self.history, retention), persons_job])
        self._runner = TaskRunner()
        new_leader = partial(
            Leader,
            settings=settings,
            cluster=cluster,
            history=self.history,
            http_client=self._http_client,
            rate_limiter=rate_limiter,
            catalogue=self._catalogue,
            recent_slots=recent_slots,
            daily_jobs=daily_jobs,
            persons=self.persons,
            keys=keys,
            person_call=self._person_calls.call,
        )
        self._leadership = Leadership(new_leader, self._runner)
        self._loop_lag = LoopLag()
        token = settings.operators_token
        operators = Operators(settings.operators, token.get_secret_value() if token else None)
        self.status = NodeStatus(
            backend=backend,
            leadership=self._leadership,
            ping_database=self.database.ping,
            latest=self.latest,
            manager=self.manager,
            catalogue=self._catalogue,
            daily_jobs=daily_jobs,
            notifier=self.persons.notifier,
            loop_lag=self._loop_lag,
            refusals=self.refusals,
            operators=operators,
        )
        for receiver in (
            self._catalogue.on_message,
            self.latest.on_message,
            self.manager.on_message,
            recent_slots.on_message,
            self._leadership.on_message,
            self.persons.on_message,
        ):
            cluster.subscribe(receiver)
        self.app = web_app(
            tickers=settings.tickers,
            latest=self.latest,
            database=self.database,
            stream=self._endpoint(),
            catalogue=self._catalogue,
            interval=settings.snapshot_interval,
            health=self.status.health,
            allowed_origins=settings.allowed_origins,
            routes=self.status.routes,
            persons=self.persons.services,
            statistics=self.status.statistics,
            bars=self._leadership.bars,
            operators=operators,
            refused=self.refusals.refused,
            units_per_second=settings.rest_units_per_second,
            site=site,
        )

    def _nearest_for_streams(self, name: str) -> list[str]:
        """The nearest names, but not to each of very many refused streams: the rate limit of REST does not count them.

        A search takes 2 ms, the rest of a refusal a tenth of it.
        """
        spent = self._searches.take(("all",), 1.0, time.monotonic()) > 0.0
        return [] if spent else self._catalogue.nearest(name)

    def _endpoint(self) -> StreamEndpoint:
        settings = self.settings
        return StreamEndpoint(
            self.manager,
            known=self._catalogue.known,
            nearest=self._nearest_for_streams,
            fetched=lambda: self._catalogue.fetched,
            fetching=lambda: self._catalogue.fetching,
            problem=problem_response,
            allowed_origins=settings.allowed_origins,
            max_streams=settings.max_streams or streams_allowed(),
            max_streams_per_address=settings.max_streams_per_address,
            headers=HSTS if self._site.secure else {},
            identify=self.persons.services.authenticator.browser_session,
            refused=self.refusals.refused,
        )

    @contextlib.asynccontextmanager
    async def running(
        self, tasks: Sequence[BackgroundTask] = (), on_failure: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Open the database and run every part, then ``tasks``; stop them in order at the end of the block.

        Raises StartError when the database cannot be used, or another gateway uses it without Redis. When a task fails,
        ``on_failure`` is called, which must end the block, and its error is raised there: a gateway that lost a part
        must not go on answering.
        """
        self._runner.on_failure = on_failure
        if unknown := unknown_settings():
            log.warning("unknown settings ignored", names=unknown)
        async with self._backend.running(), self.database, self._http_client, self._person_calls:
            await self.history.migrate()
            if is_readable_by_others(self.database.url):
                log.warning("database can be read by every user of the machine", file=self.database.place)
            self.vault.load()
            async with anyio.create_task_group() as group:
                own: list[BackgroundTask] = [
                    self.manager.run,
                    self._catalogue.run,
                    self._loop_lag.run,
                    self.persons.login_queue.run,
                    self.persons.waiting_notices.run,
                    self.persons.notifier.run,
                    self.persons.revocations.run,
                    self._write_last_seen,
                    self._cluster.run,
                    partial(self._cluster.lead, self._leadership.run),
                    partial(self._backend.metrics.run, self.status.exposition),
                ]
                for task in (*own, *tasks):
                    await group.start(self._runner.run, task)
                if self._runner.failure is None:
                    yield
                group.cancel_scope.cancel()
            await self._backend.close()
        self._runner.raise_failure()

    async def drain(self) -> None:
        """Report not ready, finish what only this leader can, then hand over the lead while every stream ends.

        What is finished is told on the streams. A database or Redis that hangs must not delay their end.
        """
        self.status.stopping = True
        await self._leadership.role.finish()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._cluster.hand_over)
            await self.manager.drain(self.settings.drain_seconds)


def _keys(settings: Settings) -> Callable[[], Sequence[str]]:
    place = settings.secret_key_file or key_file(settings.database_url.get_secret_value())
    return operator_keys(settings.secret_key.get_secret_value() if settings.secret_key else None, Path(place))


def _person_calls(settings: Settings, budget: RateLimiter) -> PersonCalls:
    secret = settings.coinbase_client_secret
    return PersonCalls(
        settings.door,
        budget,
        keys_url=settings.deribit_keys_url,
        at_coinbase=settings.coinbase,
        application=OAuthApplication(settings.coinbase_client_id, Secret(secret.get_secret_value() if secret else "")),
        proxy=settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None,
        ca_file=settings.deribit_ca_file,
    )


async def serve(
    settings: Settings,
    tasks: Callable[[Gateway], Sequence[BackgroundTask]] = lambda _: (),
    on_serving: Callable[[str], None] = lambda _: None,
    group: str = "",
) -> None:
    """Run a gateway and its HTTP server until a signal.

    ``tasks`` returns what runs beside the gateway's own parts; ``on_serving`` is called with the address. Raises
    StartError when the address is taken or the database cannot be used, and the error of a task that failed.
    """
    with bound_socket(settings.host, settings.port, shared=bool(group)) as listener:
        gateway = Gateway(settings, group)
        limits = connection_limits(gateway.manager.__len__, settings.max_streams_per_address, settings.trusted_proxies)
        http = http_protocol(limits, gateway.refusals.refused)
        server = Server(uvicorn_config(gateway.app, settings.trusted_proxies, http), gateway.drain)
        watching: list[BackgroundTask] = [partial(until_orphaned, server.stop)] if group else []
        async with gateway.running([*tasks(gateway), *watching], server.stop):
            host, port = listener.getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
            log.info("serving", url=url)
            on_serving(url)
            await server.serve(sockets=[listener])
