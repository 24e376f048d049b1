"""The command that stores the current prices once."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from ..logs import configure_logs
from ..model import Price, plain
from ..settings import read_settings
from .shared import Json, revealed, run_async

__all__ = ["snapshot"]


def snapshot(
    ticker: Annotated[list[str] | None, typer.Option(help="A ticker; repeatable (default: those configured).")] = None,
    as_json: Json = False,
) -> None:
    """Store the current price of each ticker whose slot is empty, and print what was stored.

    The exit code is 1 when the exchange returned no price of a ticker.

    Example: cryptomarket snapshot --ticker btc_usd --ticker BTC-PERPETUAL --json
    """
    from ..database.engine import Database
    from ..deribit.http_client import HttpClient
    from ..history.snapshot import TRY_SECONDS, Snapshot, take_snapshot
    from ..history.writer import HistoryWriter

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    tickers = list(dict.fromkeys(ticker or settings.tickers))

    async def run() -> Snapshot:
        proxy = revealed(settings.deribit_proxy)
        async with (
            Database(revealed(settings.database_url) or "", pooled=False) as database,
            HttpClient(
                settings.door.http_url,
                proxy=proxy,
                ca_file=settings.deribit_ca_file,
                timeout_seconds=TRY_SECONDS,
            ) as exchange,
        ):
            writer = HistoryWriter(database, settings.snapshot_interval)
            await writer.migrate()
            return await take_snapshot(writer, exchange, tickers)

    if not tickers:
        print("CRYPTOMARKET_TICKERS is empty: name a --ticker", file=sys.stderr)
        return
    found = run_async(run)
    problems = {**found.refused, **found.failed}
    _print(found.stored, problems, as_json)
    filled = len(tickers) - len(found.stored) - len(problems)
    print(f"{len(found.stored)} stored, {filled} already stored, {len(problems)} without a price", file=sys.stderr)
    raise typer.Exit(1 if problems else 0)


def _print(stored: Sequence[Price], problems: Mapping[str, str], as_json: bool) -> None:
    for price in stored:
        moment = datetime.fromtimestamp(price.timestamp, UTC).isoformat()
        print(price.json() if as_json else f"{moment}  {price.ticker:16}  {plain(price.price):>18}")
    for ticker, reason in problems.items():
        if as_json:
            print(json.dumps({"ticker": ticker, "error": reason}))
        else:
            print(f"{ticker}: {reason}", file=sys.stderr)
