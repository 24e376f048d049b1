"""The snapshot as a task of Celery: each run has an event loop, a connection and a transaction of its own."""

import asyncio
from collections.abc import Sequence

from celery import shared_task

from ...database.engine import Database
from ...deribit.http_client import HttpClient
from ...errors import DatabaseUnavailable, ExchangeUnreachable
from ...history.writer import HistoryWriter
from ..snapshot import snapshot
from . import SNAPSHOT, settings

__all__ = ["task_celery_monitoring_currency"]


@shared_task(  # type: ignore[untyped-decorator]
    name=SNAPSHOT,
    autoretry_for=(DatabaseUnavailable, ExchangeUnreachable),
    retry_backoff=2,
    retry_backoff_max=30,
    retry_jitter=True,
    max_retries=4,
)
def task_celery_monitoring_currency(tickers: Sequence[str] | None = None) -> int:
    """Store the current price of each ticker, by default those of the settings; returns how many were stored."""
    wanted = settings.tickers if tickers is None else tuple(tickers)
    return asyncio.run(_store_snapshot(wanted)) if wanted else 0


async def _store_snapshot(tickers: Sequence[str]) -> int:
    proxy = settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None
    async with (
        Database(settings.database_url.get_secret_value(), pooled=False) as database,
        HttpClient(settings.deribit_http_url, proxy=proxy, ca_file=settings.deribit_ca_file) as exchange,
    ):
        writer = HistoryWriter(database, settings.snapshot_interval)
        await writer.migrate()
        return await snapshot(writer, exchange.newest, tickers)
