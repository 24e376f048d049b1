"""Daily work after 00:00 UTC: each job once a day, and a missed run at the start. The table of jobs is here as well."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskStatus
from sqlalchemy import Connection, select

from ..database.dialects import replace_rows
from ..database.engine import Database
from ..database.schema import jobs as table
from ..errors import DatabaseUnavailable, ExchangeError
from .candles import RESOLUTIONS
from .writer import HistoryWriter

__all__ = ["DailyJobs", "Job", "JobState", "Retention", "finish_job", "finished_jobs", "history_jobs"]

log = structlog.get_logger(__name__)

DAY = 86_400
#: The longest sleep: a step of the wall clock delays the work by no more than this.
SLEEP_SECONDS = 300.0
#: How long after a failure a job is tried again.
RETRY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of daily work; `run` is repeated until it succeeds once a day."""

    name: str
    run: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class JobState:
    """The last success of a job: the midnight it was due at and its end, UNIX seconds (None: never).

    `failure` is the error of the last try, None when it succeeded.
    """

    day: int | None = None
    finished: int | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days prices, and candles by the name of their resolution, are kept; what is absent, for ever."""

    prices_days: int | None = None
    candles_days: Mapping[str, int] = field(default_factory=dict)

    def limits(self, now: float) -> tuple[int | None, dict[int, int]]:
        """The midnights before which prices are deleted, and candles by their resolution in seconds."""
        midnight = int(now) // DAY * DAY
        prices = None if self.prices_days is None else midnight - self.prices_days * DAY
        return prices, {RESOLUTIONS[name]: midnight - days * DAY for name, days in self.candles_days.items()}


def history_jobs(writer: HistoryWriter, retention: Retention, wall: Callable[[], float] = time.time) -> list[Job]:
    """The jobs of the history: missing candles, retention, and the maintenance of the database."""

    async def prune() -> None:
        await writer.prune(*retention.limits(wall()))

    return [Job("roll-ups", writer.make_candles), Job("retention", prune), Job("upkeep", writer.database.tidy)]


def finished_jobs(connection: Connection) -> dict[str, JobState]:
    """The last success of each job, by its name."""
    return {row.name: JobState(row.day, row.finished) for row in connection.execute(select(table))}


def finish_job(connection: Connection, name: str, day: int, finished: int) -> None:
    """Write down the success of a job."""
    row = {"name": name, "day": day, "finished": finished}
    connection.execute(replace_rows(connection.dialect.name, table), [row])


class DailyJobs:
    """Runs each job once after every 00:00 UTC, and at the start when a run was missed."""

    def __init__(self, database: Database, jobs: Sequence[Job], *, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._jobs = jobs
        self._wall = wall
        self._states = {job.name: JobState() for job in jobs}

    def statistics(self) -> dict[str, JobState]:
        """The state of each job, by its name."""
        return dict(self._states)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run what is due, until cancelled."""
        task_status.started()
        while True:
            succeeded = await self.run_due()
            until_midnight = DAY - self._wall() % DAY
            await anyio.sleep(min(until_midnight + 0.5, SLEEP_SECONDS if succeeded else RETRY_SECONDS))

    async def run_due(self) -> bool:
        """Run the jobs that are due; False when one failed and must be tried again."""
        try:
            finished = await self._database.read(finished_jobs)
        except DatabaseUnavailable:
            return False  # the recorder logs it
        day = int(self._wall()) // DAY * DAY
        succeeded = True
        for job in self._jobs:
            last = finished.get(job.name)
            if last is not None:
                self._states[job.name] = last
            if last is None or last.day is None or last.day < day:
                succeeded = await self._run(job, day) and succeeded
        return succeeded

    async def _run(self, job: Job, day: int) -> bool:
        before = self._states[job.name]
        started = self._wall()
        try:
            await job.run()
            finished = int(self._wall())
            await self._database.write(finish_job, job.name, day, finished)
        except (DatabaseUnavailable, ExchangeError) as exc:
            if before.failure is None:
                log.warning("daily job failed, retrying", job=job.name, error=str(exc))
            self._states[job.name] = JobState(before.day, before.finished, str(exc))
            return False
        self._states[job.name] = JobState(day, finished)
        log.info("daily job done", job=job.name, seconds=round(self._wall() - started, 1))
        return True
