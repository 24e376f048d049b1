"""Commands on the history: print, export, say what is missing, fetch it."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..errors import StartError
from ..logs import configure_logs
from ..model import plain
from ..settings import read_settings
from ..web.api.time_range import parse_range
from .shared import From, Json, Ticker, To, revealed, run_async

__all__ = ["backfill", "export", "gaps", "history"]


class Form(StrEnum):
    """How an export writes its rows."""

    CSV = "csv"
    NDJSON = "ndjson"


def history(
    ticker: Ticker,
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(help="How many prices at most, the newest of the range.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Print stored prices, oldest first.

    Example: cryptomarket history --ticker btc_usd --from 2026-11-01 --to 2026-11-02 --json
    """
    from ..history import reading
    from ..history.synchronous import synchronously

    url, within = revealed(read_settings().database_url) or "", parse_range(start, end, ("--from", "--to"))
    page = synchronously(url, reading.prices, ticker, within.start, within.end, limit, None, "desc")
    for price in reversed(page.data):
        moment = datetime.fromtimestamp(price.timestamp, UTC).isoformat()
        print(price.json() if as_json else f"{moment}  {plain(price.price):>18}  {price.source}")


def export(
    ticker: Ticker,
    start: From = None,
    end: To = None,
    form: Annotated[Form, typer.Option("--format", help="The form of the lines.")] = Form.CSV,
    out: Annotated[Path | None, typer.Option(help="The file to write; standard output without it.")] = None,
) -> None:
    """Write stored prices as CSV or as JSON lines, with every digit.

    Example: cryptomarket export --ticker btc_usd --from 2026-11-01 --format ndjson --out november.ndjson
    """
    from ..history.synchronous import export as write_rows
    from ..history.synchronous import synchronously

    url, within = revealed(read_settings().database_url) or "", parse_range(start, end, ("--from", "--to"))
    try:
        with (
            out.open("w", encoding="utf-8") if out else contextlib.nullcontext(sys.stdout) as file,
            _counting(file.write, ticker, shown=out is not None) as write,
        ):
            rows = synchronously(url, write_rows, write, form.value, ticker, within.start, within.end)
    except OSError as exc:
        if out is None:
            raise  # whoever read our output has gone
        raise StartError(f"cannot write {out}: {exc.strerror or exc}") from exc
    print(f"{rows} prices", file=sys.stderr)


@contextlib.contextmanager
def _counting(write: Callable[[str], object], what: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """The same writer, with a line on a terminal that says how much was written so far."""
    told = shown and sys.stderr.isatty()
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} lines"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not told) as bar:
        task = bar.add_task(what, total=None)

        def counted(text: str) -> None:
            write(text)
            bar.advance(task, text.count("\n"))

        yield counted


def gaps(ticker: Ticker, start: From = None, end: To = None, as_json: Json = False) -> None:
    """Print which intervals of a range are missing and why; exit code 1 when there are any.

    Example: cryptomarket gaps --ticker btc_usd --from 2026-11-01 --json
    """
    from ..history import reading
    from ..history.intervals import Kind, due
    from ..history.synchronous import synchronously

    settings = read_settings()
    url, within = revealed(settings.database_url) or "", parse_range(start, end, ("--from", "--to"))
    known = synchronously(url, reading.span, ticker)
    if known is None:
        raise StartError(f"nothing was ever recorded of {ticker}")
    first = known[0] if within.start is None else within.start
    last = due(time.time(), settings.snapshot_interval)  # what came after the last record is missing as well
    last = last if within.end is None else min(within.end, last)
    found = synchronously(url, reading.coverage, ticker, first, last)
    missing = [interval for interval in found.intervals if interval.kind is Kind.MISSING]
    for interval in missing:
        if as_json:
            print(json.dumps({"start": interval.start, "end": interval.end, "reason": interval.reason}))
        else:
            begins, ends = (datetime.fromtimestamp(at, UTC).isoformat() for at in (interval.start, interval.end))
            print(f"{begins}  {ends}  {interval.reason}")
    raise typer.Exit(1 if missing else 0)


def backfill(ticker: Ticker, start: From, end: To = None, as_json: Json = False) -> None:
    """Fetch what is missing of a range from the exchange's own history, where its grain allows.

    Example: cryptomarket backfill --ticker btc_usd --from 2026-11-20T10:00 --to 2026-11-20T11:00 --json
    """
    from ..history.backfill import Backfill
    from ..history.store import Store

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    within = parse_range(start, end, ("--from", "--to"))
    first, last = within.start or 0, within.end or int(time.time())

    async def run() -> int:
        from ..deribit.http_client import HttpClient

        url = revealed(settings.database_url) or ""
        proxy = revealed(settings.deribit_proxy)
        async with (
            Store(url, interval=settings.snapshot_interval) as store,
            HttpClient(settings.deribit_http_url, proxy=proxy, ca_file=settings.deribit_ca_file) as api,
        ):
            await store.migrate()
            with Progress(console=Console(stderr=True)) as progress:
                task = progress.add_task(ticker, total=last - first)
                return await Backfill(store, api).fill_range(
                    ticker, first, last, lambda done: progress.update(task, completed=done)
                )

    filled = run_async(run)
    print(json.dumps({"ticker": ticker, "filled": filled}) if as_json else f"{filled} slots filled")
