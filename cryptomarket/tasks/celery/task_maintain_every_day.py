"""The daily work on the history as a task of Celery; each job runs once a day, whichever process runs it."""

import asyncio

from celery import shared_task

from ...database.engine import Database
from ...errors import DatabaseUnavailable
from ...history.daily_jobs import DailyJobs, Retention, history_jobs
from ...history.writer import HistoryWriter
from . import MAINTENANCE, settings

__all__ = ["task_celery_maintenance"]


@shared_task(  # type: ignore[untyped-decorator]
    name=MAINTENANCE,
    autoretry_for=(DatabaseUnavailable,),
    retry_backoff=60,
    retry_backoff_max=1800,
    retry_jitter=True,
    max_retries=5,
)
def task_celery_maintenance() -> None:
    """Run those of today's jobs that have not run yet."""
    asyncio.run(_run_due_jobs())


async def _run_due_jobs() -> None:
    url = settings.database_url.get_secret_value()
    async with Database(url, pooled=False) as database:
        writer = HistoryWriter(database, settings.snapshot_interval)
        await writer.migrate()
        retention = Retention(settings.keep_prices_days, settings.keep_candles_days)
        if not await DailyJobs(database, history_jobs(writer, retention)).run_due():
            raise DatabaseUnavailable("a daily job failed")
