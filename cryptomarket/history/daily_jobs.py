"""Daily work at 00:00 UTC: each job once a day, a missed run made up at the start. It knows no SQL."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable, ExchangeError
from .candles import RESOLUTIONS

__all__ = ["DAY", "DailyJobs", "Job", "JobState", "JobStore", "Retention", "housekeeping"]

log = structlog.get_logger(__name__)

DAY = 86_400
#: The longest sleep, so that a step of the wall clock delays the night's work by no more than this.
NAP_SECONDS = 300.0
#: How long after a failure a job is tried again.
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of daily work; `run` is repeated until it ends well once a day."""

    name: str
    run: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class JobState:
    """When a job last ended well (UNIX seconds; None: never), for which midnight, and why the last try failed."""

    day: int | None = None
    finished: int | None = None
    failure: str | None = None


class JobStore(Protocol):
    """Remembers which jobs are done: `Store` is one."""

    async def jobs(self) -> Mapping[str, tuple[int, int]]: ...
    async def finish_job(self, name: str, day: int, finished: int) -> None: ...


class Housekept(Protocol):
    """What the history's own jobs look after: `Store` is it."""

    async def make_candles(self) -> None: ...
    async def prune(self, prices_before: int | None, candles_before: Mapping[int, int]) -> None: ...
    async def tidy(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days prices, and candles of a resolution, are kept; what is not named is kept for ever."""

    prices_days: int | None = None
    candles_days: Mapping[str, int] = field(default_factory=dict)

    def limits(self, now: float) -> tuple[int | None, dict[int, int]]:
        """The moments before which prices, and candles by resolution in seconds, go; always a midnight."""
        midnight = int(now) // DAY * DAY
        prices = None if self.prices_days is None else midnight - self.prices_days * DAY
        return prices, {RESOLUTIONS[name]: midnight - days * DAY for name, days in self.candles_days.items()}


def housekeeping(store: Housekept, retention: Retention, wall: Callable[[], float] = time.time) -> list[Job]:
    """The history's own jobs: roll-ups, retention, the database's upkeep."""

    async def prune() -> None:
        await store.prune(*retention.limits(wall()))

    return [Job("roll-ups", store.make_candles), Job("retention", prune), Job("upkeep", store.tidy)]


class DailyJobs:
    """Runs each job once after every 00:00 UTC, and at the start when a run was missed."""

    def __init__(self, store: JobStore, jobs: Sequence[Job], *, wall: Callable[[], float] = time.time) -> None:
        self._store = store
        self._jobs = jobs
        self._wall = wall
        self._states = {job.name: JobState() for job in jobs}

    def statistics(self) -> dict[str, JobState]:
        """The state of each job."""
        return dict(self._states)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Work whenever a day has begun, until cancelled."""
        task_status.started()
        while True:
            well = await self.work()
            until_midnight = DAY - self._wall() % DAY
            await anyio.sleep(min(until_midnight + 0.5, NAP_SECONDS if well else RETRY_SECONDS))

    async def work(self) -> bool:
        """Run what is due; False when something failed and is to be tried again."""
        try:
            done = await self._store.jobs()
        except DatabaseUnavailable:
            return False  # the recorder says so already
        day = int(self._wall()) // DAY * DAY
        well = True
        for job in self._jobs:
            last = done.get(job.name)
            if last is not None:
                self._states[job.name] = JobState(*last)
            if last is None or last[0] < day:
                well = await self._run(job, day) and well
        return well

    async def _run(self, job: Job, day: int) -> bool:
        before = self._states[job.name]
        started = self._wall()
        try:
            await job.run()
            await self._store.finish_job(job.name, day, int(self._wall()))
        except (DatabaseUnavailable, ExchangeError) as exc:
            if before.failure is None:
                log.warning("daily job failed, trying again", job=job.name, error=str(exc))
            self._states[job.name] = JobState(before.day, before.finished, str(exc))
            return False
        self._states[job.name] = JobState(day, int(self._wall()))
        log.info("daily job done", job=job.name, seconds=round(self._wall() - started, 1))
        return True
