"""The snapshot as a task of Celery: each run has an event loop, a connection and a transaction of its own."""

import asyncio
from collections.abc import Sequence

import structlog
from celery import shared_task

from ...cluster.redis.wanted import read_wanted
from ...database.engine import Database
from ...deribit.http_client import HttpClient
from ...errors import CacheUnavailable, DatabaseUnavailable, ExchangeUnreachable
from ...history.snapshot import TRY_SECONDS, take_snapshot
from ...history.writer import HistoryWriter
from . import SNAPSHOT, settings

__all__ = ["task_celery_monitoring_currency"]

log = structlog.get_logger(__name__)


@shared_task(  # type: ignore[untyped-decorator]
    name=SNAPSHOT,
    autoretry_for=(CacheUnavailable, DatabaseUnavailable, ExchangeUnreachable),
    retry_backoff=2,
    retry_backoff_max=30,
    retry_jitter=True,
    max_retries=4,
)
def task_celery_monitoring_currency(tickers: Sequence[str] | None = None) -> int:
    """Store the current price of each ticker whose slot is empty; returns how many were stored.

    By default these are the tickers of the settings and those that streams of gateways want. A ticker that fails is
    tried again, by itself.
    """
    return asyncio.run(_store_snapshot(tickers))


async def _store_snapshot(tickers: Sequence[str] | None) -> int:
    wanted = await _wanted() if tickers is None else tickers
    if not wanted:
        return 0
    proxy = settings.deribit_proxy.get_secret_value() if settings.deribit_proxy else None
    async with (
        Database(settings.database_url.get_secret_value(), pooled=False) as database,
        HttpClient(
            settings.door.http_url,
            proxy=proxy,
            ca_file=settings.deribit_ca_file,
            timeout_seconds=TRY_SECONDS,
        ) as exchange,
    ):
        writer = HistoryWriter(database, settings.snapshot_interval)
        await writer.migrate()
        found = await take_snapshot(writer, exchange, wanted)
    for ticker, reason in found.refused.items():
        log.warning("ticker refused by the exchange", ticker=ticker, reason=reason)
    if found.failed:
        reason = next(iter(found.failed.values()))
        raise ExchangeUnreachable(f"{len(found.failed)} of {len(wanted)} tickers have no price: {reason}")
    return len(found.stored)


async def _wanted() -> Sequence[str]:
    """The tickers of the settings and those that streams want, at most as many as a gateway follows."""
    streamed = await read_wanted(settings.redis_url.get_secret_value()) if settings.redis_url else []
    return list(dict.fromkeys((*settings.tickers, *streamed)))[: settings.max_tickers]
