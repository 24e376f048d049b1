"""All that only the leader runs: the connection to the exchange, the recorder, the backfill, the daily jobs, and the
work for persons.

A `Leader` is built for each epoch. While this node follows, `NoRole` stands in for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from msgspec import Raw
from prometheus_client.core import Metric

from ..cluster.cluster import Cluster
from ..cluster.node_keys import NodeKeys
from ..deribit.auth import Credentials, Secret
from ..deribit.client import DeribitClient
from ..deribit.http_client import HttpClient
from ..deribit.rate_limit import Priority, RateLimiter
from ..history.backfill import Backfill
from ..history.candles import MinuteBar
from ..history.daily_jobs import DailyJobs
from ..history.recent_slots import RecentSlots
from ..history.recorder import Recorder
from ..history.slot_snapshots import LEAST_INTERVAL, SlotSnapshots
from ..history.writer import HistoryWriter
from ..market.catalogue import Catalogue
from ..model import Message
from ..persons.grants import Call
from ..persons.person_door import key_doors
from ..settings import Settings
from ..web.health import Check
from . import metrics
from .health import exchange_clock_check, login_check
from .persons import Persons
from .tasks import BackgroundTask, TaskRunner

__all__ = ["Leader", "Leadership", "exchange_session_of"]


class Role(Protocol):
    """What a node runs, and adds to its answers, because it leads."""

    def tasks(self) -> list[BackgroundTask]:
        """What runs, in the order of starting."""

    def on_message(self, message: Message) -> None:
        """Apply a message of the bus."""

    def bars(self, ticker: str) -> Sequence[MinuteBar]:
        """The minutes of a ticker that are not stored yet, as far as this node knows them."""

    def statistics(self) -> Mapping[str, object]:
        """The statistics of each part, by its name in /status."""

    def families(self) -> Sequence[Metric]:
        """The metrics of each part."""

    def checks(self) -> Mapping[str, Check]:
        """The health of each part, by name."""

    async def finish(self) -> None:
        """Finish what another leader could not repeat; bounded in time."""


class NoRole:
    """Does and reports nothing: a node that follows, or a recorder where another process stores the prices."""

    def tasks(self) -> list[BackgroundTask]:
        """None."""
        return []

    def on_message(self, message: Message) -> None:
        """Ignored."""

    def bars(self, ticker: str) -> Sequence[MinuteBar]:
        """None."""
        return ()

    def statistics(self) -> Mapping[str, object]:
        """None."""
        return {}

    def families(self) -> Sequence[Metric]:
        """None."""
        return ()

    def checks(self) -> Mapping[str, Check]:
        """None."""
        return {}

    async def finish(self) -> None:
        """Nothing to do."""


class Recording:
    """The recorder's part of a leader's role, with the snapshots of slots that had no tick."""

    def __init__(self, recorder: Recorder, snapshots: SlotSnapshots | None) -> None:
        self._recorder, self._snapshots = recorder, snapshots
        self.on_message, self.bars = recorder.on_message, recorder.bars

    def tasks(self) -> list[BackgroundTask]:
        """The recorder, and the snapshots where slots are long enough."""
        return [self._recorder.run, *([self._snapshots.run] if self._snapshots else [])]

    def statistics(self) -> Mapping[str, object]:
        """Of the recorder."""
        return {"recorder": self._recorder.statistics()}

    def families(self) -> Sequence[Metric]:
        """Of the recorder."""
        return metrics.of_recorder(self._recorder.statistics())

    def checks(self) -> Mapping[str, Check]:
        """None: the database has its own."""
        return {}

    async def finish(self) -> None:
        """Nothing to do: slots that are not written are filled by the next leader."""


class Leader:
    """The leader's parts for one epoch. Without ``settings.recorder`` another process stores the prices.

    ``person_call`` makes the calls of persons with keys where the connection takes none.
    """

    def __init__(
        self,
        epoch: int,
        *,
        settings: Settings,
        cluster: Cluster,
        history: HistoryWriter,
        http_client: HttpClient,
        rate_limiter: RateLimiter,
        catalogue: Catalogue,
        recent_slots: RecentSlots,
        daily_jobs: DailyJobs,
        persons: Persons,
        keys: NodeKeys,
        person_call: Call | None = None,
    ) -> None:
        self._cluster = cluster
        self._daily_jobs = daily_jobs
        self._notifier = persons.notifier
        self._backfill = Backfill(history, http_client, recent_slots=recent_slots)
        credentials = _credentials(settings)
        self._has_key = bool(settings.deribit_client_id)

        self._client = DeribitClient(
            settings.door,
            tickers=settings.tickers,
            publish=cluster.publish,
            credentials=credentials,
            exchange_session=exchange_session_of(keys, settings.deribit_client_id, history.database.place),
            proxy=settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None,
            ca_file=settings.deribit_ca_file,
            budget=rate_limiter,
            price_index=catalogue.price_index,
            raw=credentials is not None,
            hint="without the exchange: `cryptomarket demo` shows simulated prices",
        )
        catalogue.on_listed = self._client.listed
        self._recording: Role = NoRole()
        if settings.recorder:
            self._recording = self._new_recording(epoch, settings, history, http_client, recent_slots)
        self.on_message, self.bars = self._recording.on_message, self._recording.bars
        doors = key_doors(person_call or self._call, exchange_time=self._client.clock.now)
        self._worker = persons.leader_worker(doors)

    def _new_recording(
        self,
        epoch: int,
        settings: Settings,
        history: HistoryWriter,
        http_client: HttpClient,
        recent_slots: RecentSlots,
    ) -> Recording:
        configured, wake = settings.tickers, self._backfill.wake
        recorder = Recorder(
            history,
            interval=history.interval,
            epoch=epoch,
            configured=configured,
            record_wanted=settings.record_wanted,
            on_written=wake,
        )
        snapshots = SlotSnapshots(
            history,
            http_client,
            tickers=self._client.wanted if settings.record_wanted else lambda: configured,
            recent_slots=recent_slots,
            reasons=recorder.reasons,
            now=recorder.now,
            rests=self._client.rests,
            on_stored=wake,
        )
        return Recording(recorder, snapshots if history.interval >= LEAST_INTERVAL else None)

    def tasks(self) -> list[BackgroundTask]:
        """What runs during the epoch, in the order of starting."""
        return [
            *self._recording.tasks(),
            self._client.run,
            self._follow_demand,
            self._backfill.run,
            self._daily_jobs.run,
            self._worker.run,
            partial(self._cluster.serve, self._worker.handle),
        ]

    def statistics(self) -> Mapping[str, object]:
        """See Role."""
        return {
            "upstream": self._client.statistics(),
            "persons": {**asdict(self._worker.statistics()), **asdict(self._notifier.statistics())},
            **self._recording.statistics(),
        }

    def families(self) -> Sequence[Metric]:
        """See Role."""
        return [
            *metrics.of_upstream(self._client.statistics()),
            *self._recording.families(),
            *metrics.of_persons(self._worker.statistics(), self._notifier.statistics()),
        ]

    def checks(self) -> Mapping[str, Check]:
        """Whether the clock of this machine is right, and the application's key works, if there is one."""
        login = {"login": login_check(self._client)} if self._has_key else {}
        return {"exchange_clock": exchange_clock_check(self._client.clock), **login}

    async def finish(self) -> None:
        """See Role: logins whose secrets are no longer stored, and renewals, which replace tokens at the exchange."""
        await self._worker.finish()

    async def _call(self, method: str, params: Mapping[str, Any]) -> Raw:
        """A person's call over the one connection: after everything that prices need, before the backfill.

        A crowd of logins delays neither renewals, which are `public/auth` as well, nor balances.
        """
        newcomer = method == "public/auth" and params.get("grant_type") != "refresh_token"
        priority = Priority.NEWCOMER if newcomer else Priority.PERSON
        return await self._client.call(method, dict(params), priority=priority)

    async def _follow_demand(self, *, task_status: TaskStatus[None]) -> None:
        """Subscribe to the tickers that streams of all nodes want."""
        task_status.started()
        async for tickers in self._cluster.demand():
            self._client.want(tickers)


class Leadership:
    """This node's role: a leader's parts while `run` is running, else none."""

    def __init__(self, new_leader: Callable[[int], Leader], runner: TaskRunner) -> None:
        self._new_leader = new_leader
        self._runner = runner
        self.role: Role = NoRole()

    async def run(self, epoch: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run a leader for the epoch until cancelled."""
        leader = self._new_leader(epoch)
        self.role = leader
        try:
            async with anyio.create_task_group() as tasks:
                for task in leader.tasks():
                    await tasks.start(self._runner.run, task)
                task_status.started()
        finally:
            self.role = NoRole()

    def on_message(self, message: Message) -> None:
        """See Role."""
        self.role.on_message(message)

    def bars(self, ticker: str) -> Sequence[MinuteBar]:
        """See Role."""
        return self.role.bars(ticker)


def exchange_session_of(keys: NodeKeys, client_id: str, database: str) -> str:
    """The name of the exchange session of an installation's own API key.

    The same at each start and on each node; another for an installation with another key file or another database, even
    if it uses the same API key.
    """
    return f"cryptomarket-{keys.sign('exchange session', f'{client_id} {database}'.encode()).hex()[:16]}"


def _credentials(settings: Settings) -> Credentials | None:
    secret = settings.deribit_client_secret
    if settings.deribit_client_id and secret:
        return Credentials(settings.deribit_client_id, Secret(secret.get_secret_value()))
    return None
