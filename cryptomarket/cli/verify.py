"""The command that compares the exchange with the statements about it."""

import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import __version__
from ..deribit.auth import Credentials, Secret
from ..deribit.doors import DOORS, Door
from ..errors import ExchangeUnreachable, StartError
from ..settings import Settings, read_settings
from ..verify.report import findings, report
from ..verify.rows import Row, Verdict
from .shared import Json, revealed, run_async

__all__ = ["verify"]

MARKS = {
    Verdict.CONFIRMED: "[green]confirmed  [/]",
    Verdict.DIFFERS: "[red]differs    [/]",
    Verdict.NOT_CHECKED: "[dim]not checked[/]",
}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smh]?)", text)
    if match is None:
        raise typer.BadParameter("expected a time such as 26h, 90m or 300s")
    return float(match[1]) * _UNITS[match[2]]


def _door(name: str | None) -> str | None:
    if name is not None and name not in DOORS:
        raise typer.BadParameter(f"expected one of {', '.join(DOORS)}")
    return name


def verify(
    door: Annotated[
        str | None,
        typer.Option(help="deribit, deribit-test or coinbase (default: CRYPTOMARKET_EXCHANGE).", callback=_door),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another WebSocket address of market data.")] = None,
    private_url: Annotated[str | None, typer.Option(help="Another WebSocket address of private calls.")] = None,
    http_url: Annotated[str | None, typer.Option(help="Another HTTP address.")] = None,
    key: Annotated[bool, typer.Option(help="Use the API key of the settings.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what waits for tens of seconds.")] = False,
    exceed_limits: Annotated[
        bool,
        typer.Option("--exceed-limits", help="Also exceed each limit once, which can end other connections of yours."),
    ] = False,
    watch: Annotated[str, typer.Option("--for", help="Go on recording for so long, such as 26h.")] = "0",
    record: Annotated[
        Path | None, typer.Option(help="Write every message to this file, without personal data.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Write the outcome to this Markdown file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the exchange with what this program expects of it, statement by statement.

    It reads public data, and with an API key the account. It never places an order, and stays within the limits.
    The file of --record can be served by `cryptomarket simulate --replay`.

    Exit codes: 0 nothing differs, 1 something differs, 2 the exchange cannot be reached or the usage is wrong,
    130 interrupted: the report has what was checked before.

    Example: cryptomarket verify --door deribit-test --report report.md --record exchange.jsonl
    """
    from ..verify.host import Route
    from ..verify.suite import Plan, running

    settings = read_settings()
    seconds = _seconds(watch)
    chosen = settings.door if door in (None, settings.exchange) else DOORS[door or ""]
    kinds = _kinds(chosen, url, private_url)
    chosen = replace(
        chosen,
        prices_url=url or chosen.prices_url,
        private_url=private_url or chosen.private_url,
        http_url=http_url or chosen.http_url,
    )
    plan = Plan(
        door=chosen,
        credentials=_credentials(settings) if key and chosen.name == settings.exchange else None,
        route=Route(proxy=revealed(settings.deribit_proxy), ca_file=settings.deribit_ca_file),
        quick=quick,
        exceed_limits=exceed_limits,
        kinds=kinds,
        record=record,
        watch_seconds=seconds,
    )
    console, rows = Console(highlight=False, soft_wrap=True), list[Row]()

    def tell(row: Row) -> None:
        rows.append(row)
        if as_json:
            print(json.dumps(row.json()), flush=True)
        else:
            seen = "" if row.result is Verdict.CONFIRMED else f"  [dim]{escape(_difference(row))}[/]"
            console.print(f"{MARKS[row.result]} {row.statement.name:30}{seen}")

    started, interrupted = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()), False
    with running(plan) as run:
        try:
            run_async(lambda: run.check(tell))
        except ExchangeUnreachable as exc:
            print(f"cryptomarket: {exc}", file=sys.stderr)
            raise typer.Exit(2) from exc
        except KeyboardInterrupt:  # what was seen until now is still worth its report
            interrupted = True
            print("cryptomarket: interrupted; the outcome has what was checked before", file=sys.stderr)
        full = run.recorder.full
    if report_file is not None:
        said = (("--quick", quick), ("--exceed-limits", exceed_limits), ("interrupted", interrupted))
        options = " ".join(name for name, on in said if on)
        places = [place for _, *urls in plan.addresses() for place in urls if place]
        text = report(rows, door=chosen.name, places=places, when=started, version=__version__, options=options)
        _write(report_file, text)
    if not as_json:
        _print_tables(console, rows)
    if full:
        print("cryptomarket: the recording reached its limit, or the disk refused it, and stopped", file=sys.stderr)
    if interrupted:
        raise typer.Exit(130)
    raise typer.Exit(1 if any(row.result is Verdict.DIFFERS for row in rows) else 0)


def _kinds(door: Door, url: str | None, private_url: str | None) -> tuple[str, ...]:
    """At a door with two hosts, an address of one of them checks that one alone."""
    if door.authenticates or bool(url) == bool(private_url):
        return ()
    return ("coinbase-streams",) if url else ("coinbase-main",)


def _credentials(settings: Settings) -> Credentials | None:
    secret = revealed(settings.deribit_client_secret)
    return Credentials(settings.deribit_client_id, Secret(secret)) if secret and settings.deribit_client_id else None


def _difference(row: Row) -> str:
    return row.seen if row.result is Verdict.NOT_CHECKED else f"expected {row.expected}, seen {row.seen}"


def _write(place: Path, text: str) -> None:
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StartError(f"cannot write {place}: {exc.strerror}") from exc


def _print_tables(console: Console, rows: list[Row]) -> None:
    """The differences, then what nobody had confirmed before, then the counts."""
    differing = [row for row in rows if row.result is Verdict.DIFFERS]
    for title, chosen in (("Differs", differing), ("Nobody had confirmed these", findings(rows))):
        if chosen:
            table = Table(title=title, title_justify="left")
            for head in ("statement", "expected", "seen", "result", "source"):
                table.add_column(head, overflow="fold")
            for row in chosen:
                cells = (row.statement.name, row.expected, row.seen, row.result, row.statement.source)
                table.add_row(*map(escape, cells))
            console.print(table)
    counts = (f"{sum(row.result is result for row in rows)} {result}" for result in Verdict)
    console.print(", ".join(counts))
