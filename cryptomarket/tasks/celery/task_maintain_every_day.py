"""The daily work on the history as a task of Celery; whoever comes first does it, the others find it done."""

import asyncio

from celery import shared_task

from ...errors import DatabaseUnavailable
from ...history.daily_jobs import DailyJobs, Retention, housekeeping
from ...history.store import Store
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
    """Run what of today's jobs was not run yet."""
    asyncio.run(_work())


async def _work() -> None:
    url = settings.database_url.get_secret_value()
    async with Store(url, interval=settings.snapshot_interval, pooled=False) as store:
        await store.migrate()
        retention = Retention(settings.keep_prices_days, settings.keep_candles_days)
        if not await DailyJobs(store, housekeeping(store, retention)).work():
            raise DatabaseUnavailable("some of the daily work was not done")
