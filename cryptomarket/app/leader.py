"""A term: what only the leader does, from the connection to the exchange to the rows of the database.

A single process has one term, as long as itself. Of many nodes the one that holds the lease has a term, until it loses
the lease; the next one's begins with a higher epoch.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from msgspec import Raw

from ..cluster.cluster import Cluster
from ..deribit.client import DeribitClient
from ..deribit.rate_limit import Priority
from ..history.backfill import Backfill
from ..history.daily_jobs import DailyJobs
from ..history.recorder import Recorder
from ..model import Message
from ..persons.leader_worker import LeaderWorker

__all__ = ["BackgroundTask", "LeaderTasks"]


class BackgroundTask(Protocol):
    """Something that runs in the background until cancelled; it says when it has begun."""

    async def __call__(self, *, task_status: TaskStatus[None]) -> None: ...


class LeaderTasks:
    """The leader's parts; ``recorder`` is None where another process stores the prices."""

    def __init__(
        self,
        *,
        deribit_client: DeribitClient,
        recorder: Recorder | None,
        backfill: Backfill,
        maintenance: DailyJobs,
        cluster: Cluster,
    ) -> None:
        self.deribit_client = deribit_client
        self.recorder = recorder
        self.leader_worker: LeaderWorker | None = None
        self._backfill = backfill
        self._maintenance = maintenance
        self._cluster = cluster

    async def call(self, method: str, params: Mapping[str, Any]) -> Raw:
        """A call for a person over the one connection: after everything that prices need, before the history."""
        priority = Priority.NEWCOMER if method == "public/auth" else Priority.PERSON
        return await self.deribit_client.call(method, dict(params), priority=priority)

    def parts(self, leader_worker: LeaderWorker) -> list[BackgroundTask]:
        """What runs for as long as the term, in the order in which it starts."""
        self.leader_worker = leader_worker
        return [
            *([self.recorder.run] if self.recorder else []),
            self.deribit_client.run,
            self._follow_demand,
            self._backfill.run,
            self._maintenance.run,
            leader_worker.run,
            partial(self._cluster.serve, leader_worker.handle),
        ]

    def on_message(self, message: Message) -> None:
        """Take what the bus delivers: the recorder does."""
        if self.recorder:
            self.recorder.on_message(message)

    async def _follow_demand(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the tickers that streams of all nodes want."""
        task_status.started()
        async for tickers in self._cluster.demand():
            self.deribit_client.want(tickers)
