"""Commands on the history: print it, export it, list what is missing, backfill it."""

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

from ..errors import InvalidParameter, StartError
from ..logs import configure_logs
from ..model import plain
from ..settings import read_settings
from ..web.api.time_range import parse_range
from .shared import From, Json, Ticker, To, revealed, run_async

__all__ = ["backfill", "export", "gaps", "history"]


class Form(StrEnum):
    """The format of an export."""

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
    from ..database.synchronous import read_synchronously
    from ..history import prices
    from ..history.pages import PageQuery

    url, within = revealed(read_settings().database_url) or "", parse_range(start, end, ("--from", "--to"))
    query = PageQuery(ticker, within.start, within.end, limit, order="desc")
    page = read_synchronously(url, prices.page, query)
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
    from ..database.synchronous import read_synchronously
    from ..history.export import PAGE_ROWS, write_export
    from ..history.pages import PageQuery

    url, within = revealed(read_settings().database_url) or "", parse_range(start, end, ("--from", "--to"))
    query = PageQuery(ticker, within.start, within.end, PAGE_ROWS)
    try:
        with (
            out.open("w", encoding="utf-8") if out else contextlib.nullcontext(sys.stdout) as file,
            _with_progress(file.write, ticker, shown=out is not None) as write,
        ):
            rows = read_synchronously(url, write_export, write, form.value, query)
    except OSError as exc:
        if out is None:
            raise  # the reader of our output has closed it
        raise StartError(f"cannot write {out}: {exc.strerror or exc}") from exc
    print(f"{rows} prices", file=sys.stderr)


@contextlib.contextmanager
def _with_progress(write: Callable[[str], object], label: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """The same writer, with a line on a terminal that counts what was written."""
    visible = shown and sys.stderr.isatty()
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} lines"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not visible) as bar:
        task = bar.add_task(label, total=None)

        def counted(text: str) -> None:
            write(text)
            bar.advance(task, text.count("\n"))

        yield counted


def gaps(ticker: Ticker, start: From = None, end: To = None, as_json: Json = False) -> None:
    """Print which intervals of a range are missing and why; the exit code is 1 when there are any.

    Example: cryptomarket gaps --ticker btc_usd --from 2026-11-01 --json
    """
    from ..database.synchronous import read_synchronously
    from ..history import ledger
    from ..history.intervals import Kind, due

    settings = read_settings()
    url, within = revealed(settings.database_url) or "", parse_range(start, end, ("--from", "--to"))
    span = read_synchronously(url, ledger.span, ticker)
    if span is None:
        raise StartError(f"nothing was ever recorded of {ticker}")
    first = span[0] if within.start is None else within.start
    last = due(time.time(), settings.snapshot_interval)  # what is due after the last record is missing as well
    last = last if within.end is None else min(within.end, last)
    coverage = read_synchronously(url, ledger.coverage, ticker, first, max(first, last))
    missing = [interval for interval in coverage.intervals if interval.kind is Kind.MISSING]
    for interval in missing:
        if as_json:
            print(json.dumps({"start": interval.start, "end": interval.end, "reason": interval.reason}))
        else:
            begins, ends = (datetime.fromtimestamp(at, UTC).isoformat() for at in (interval.start, interval.end))
            print(f"{begins}  {ends}  {interval.reason}")
    raise typer.Exit(1 if missing else 0)


def backfill(ticker: Ticker, start: From, end: To = None, as_json: Json = False) -> None:
    """Fill the missing slots of a range from the exchange's own history, where it is fine enough.

    Example: cryptomarket backfill --ticker btc_usd --from 2026-11-20T10:00 --to 2026-11-20T11:00 --json
    """
    from ..database.engine import Database
    from ..history.backfill import Backfill
    from ..history.writer import HistoryWriter

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    within = parse_range(start, end, ("--from", "--to"))
    first, last = within.start or 0, within.end or int(time.time())
    if first > last:
        raise InvalidParameter("--from", "a time that is not after now")

    async def run() -> int:
        from ..deribit.http_client import HttpClient

        url = revealed(settings.database_url) or ""
        proxy = revealed(settings.deribit_proxy)
        async with (
            Database(url) as database,
            HttpClient(settings.door.http_url, proxy=proxy, ca_file=settings.deribit_ca_file) as exchange,
        ):
            writer = HistoryWriter(database, settings.snapshot_interval)
            await writer.migrate()
            with Progress(console=Console(stderr=True)) as progress:
                task = progress.add_task(ticker, total=last - first)
                return await Backfill(writer, exchange).fill_range(
                    ticker, first, last, lambda done: progress.update(task, completed=done)
                )

    filled = run_async(run)
    print(json.dumps({"ticker": ticker, "filled": filled}) if as_json else f"{filled} slots filled")
