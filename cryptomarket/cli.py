"""The command line: reads the settings, builds what a command needs, and turns our errors into a sentence and a code.

Exit codes: 0 done, 1 something failed, 2 wrong usage or settings, 130 interrupted.
"""

import asyncio
import contextlib
import dataclasses
import functools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .errors import CryptomarketError, SettingsError, StartError
from .logs import configure_logs
from .model import plain
from .settings import Settings, read_settings
from .web.moments import asked_range

__all__ = ["app", "main"]

app = typer.Typer(
    name="cryptomarket",
    help="A real-time gateway for prices of the Deribit exchange.",
    epilog="Exit codes: 0 done, 1 something failed or is missing, 2 wrong usage or settings, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

T = TypeVar("T")


class Form(StrEnum):
    """How an export writes its rows."""

    CSV = "csv"
    NDJSON = "ndjson"


Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (default 8000).")]
Ticker = Annotated[str, typer.Option(help="The name of the price, such as btc_usd.")]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601 (UTC), or UNIX seconds or milliseconds; included.")]
To = Annotated[str | None, typer.Option("--to", help="The same; not included, but a bare date is the whole day.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def main() -> None:
    """Run a command; an error of ours is one sentence on standard error, never a traceback."""
    try:
        app(standalone_mode=True)
    except SettingsError as exc:
        _fail(exc, 2)
    except CryptomarketError as exc:
        _fail(exc, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception, code: int) -> None:
    for line in str(error).splitlines():
        print(f"cryptomarket: {line}", file=sys.stderr)
    sys.exit(code)


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(help="Processes behind the one port; more than one need Redis.", min=1)] = 1,
    worker_of: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Run the gateway against the exchange of the settings.

    Example: cryptomarket serve --port 8080 --workers 4
    """
    # Imported where they are used: a server's libraries take a second that `--help` and `tail` should not wait for.
    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    if workers > 1:
        _serve_by_workers(settings, workers)
    from .gateway import serve as serve_gateway

    _run(functools.partial(serve_gateway, settings, group=worker_of))


def _serve_by_workers(settings: Settings, count: int) -> NoReturn:
    """Run so many gateways until a signal."""
    from .workers import Workers, reserved_port

    if settings.redis_url is None:
        raise StartError(
            f"{count} workers need Redis, over which they share one connection to the exchange: "
            "set CRYPTOMARKET_REDIS_URL, or leave --workers out"
        )
    with reserved_port(settings.host, settings.port) as holder:
        address = ["--host", settings.host, "--port", str(holder.getsockname()[1])]

        def command(number: int) -> list[str]:
            node = ["env", f"CRYPTOMARKET_NODE={settings.node}-{number}"]
            return [*node, sys.executable, "-m", __package__, "serve", *address, "--worker-of", settings.node]

        raise typer.Exit(_run(Workers(count, command).run))


@app.command()
def demo(host: Host = None, port: Port = None) -> None:
    """Run the gateway against a simulated exchange: no network, no account, a database that goes with the process.

    It prints where to look, and the key of an account to log in with.

    Example: cryptomarket demo --port 8080
    """
    from .demo import Past, demo_world, where_to_look
    from .gateway import Gateway, Part
    from .gateway import serve as serve_gateway

    def past(gateway: Gateway) -> list[Part]:
        settings = gateway.settings
        write = gateway.store.insert_missing
        return [Past(write, tickers=settings.tickers, interval=settings.snapshot_interval).run]

    async def run() -> None:
        async with demo_world() as world:
            world_settings = read_settings(host=host, port=port, node=settings.node, **world)
            await serve_gateway(world_settings, past, lambda url: print(where_to_look(url), flush=True))

    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    _run(run)


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for a free one.", min=0, max=65_535)] = 8765,
    seed: Annotated[int, typer.Option(help="The same seed gives the same prices.")] = 1,
    client_id: Annotated[list[str] | None, typer.Option(help="An account's API key; repeatable.")] = None,
    client_secret: Annotated[list[str] | None, typer.Option(help="The secret of the key before it.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="The e-mail of the account.")] = None,
    replay: Annotated[list[Path] | None, typer.Option(help="Serve recorded lines; repeatable.", exists=True)] = None,
    speed: Annotated[float, typer.Option(help="How many times faster than recorded; 0: at once.", min=0)] = 1.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Let something go wrong: a name, as in drop:argument@after/every; repeatable."),
    ] = None,
    switch: Annotated[
        list[str] | None, typer.Option(help="Answer a question Deribit leaves open: name=value; repeatable.")
    ] = None,
    hurry: Annotated[float, typer.Option(help="Tick so many times as often.", min=0.1)] = 1.0,
) -> None:
    """Run the simulated exchange alone: Deribit's WebSocket and HTTP interface with prices from a seeded walk.

    While it runs, GET /control on its address lists the faults, and POST /control/drop lets one happen now.

    Example: cryptomarket simulate --client-id me --client-secret mine --email me@example.com

    Example: cryptomarket simulate --fault drop/30 --fault delay:0.5@10
    """
    from .simulator.cli import CannotSimulate, accounts_of, simulate_exchange

    try:
        accounts = accounts_of(client_id or [], client_secret or [], email or [])
        run = functools.partial(simulate_exchange, host, port, seed, accounts, replay or [], speed)
        _run(functools.partial(run, fault or [], switch or [], hurry))
    except CannotSimulate as exc:
        raise StartError(str(exc)) from exc


@app.command()
def tail(
    url: Annotated[str, typer.Option(help="The gateway to listen to.")] = "http://127.0.0.1:8000",
    timer: Annotated[float, typer.Option(help="Seconds between deliveries, 0 for every tick.")] = 1,
    channels: Annotated[str | None, typer.Option(help="Tickers to show, separated by commas.")] = None,
    as_json: Json = False,
) -> None:
    """Print the stream of a running gateway, a line an event, until interrupted.

    Example: cryptomarket tail --timer 0 --channels btc_usd --json
    """
    from .tail import Event, Lines, follow

    def show_json(event: Event) -> None:
        print(event.json(), flush=True)

    show = show_json if as_json else Lines(Console()).show
    _run(functools.partial(follow, url, show, timer=timer, channels=channels))


@app.command()
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
    from .history import reading
    from .history.synchronous import synchronously

    url, within = _revealed(read_settings().database_url) or "", asked_range(start, end, ("--from", "--to"))
    page = synchronously(url, reading.prices, ticker, within.start, within.end, limit, None, "desc")
    for price in reversed(page.data):
        moment = datetime.fromtimestamp(price.timestamp, UTC).isoformat()
        print(price.json() if as_json else f"{moment}  {plain(price.price):>18}  {price.source}")


@app.command()
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
    from .history.synchronous import export as write_rows
    from .history.synchronous import synchronously

    url, within = _revealed(read_settings().database_url) or "", asked_range(start, end, ("--from", "--to"))
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


@app.command()
def gaps(ticker: Ticker, start: From = None, end: To = None, as_json: Json = False) -> None:
    """Print which intervals of a range are missing and why; exit code 1 when there are any.

    Example: cryptomarket gaps --ticker btc_usd --from 2026-11-01 --json
    """
    from .history import reading
    from .history.gaps import Kind, due
    from .history.synchronous import synchronously

    settings = read_settings()
    url, within = _revealed(settings.database_url) or "", asked_range(start, end, ("--from", "--to"))
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


@app.command()
def backfill(ticker: Ticker, start: From, end: To = None, as_json: Json = False) -> None:
    """Fetch what is missing of a range from the exchange's own history, where its grain allows.

    Example: cryptomarket backfill --ticker btc_usd --from 2026-11-20T10:00 --to 2026-11-20T11:00 --json
    """
    from .history.backfill import Backfill
    from .history.store import Store

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    within = asked_range(start, end, ("--from", "--to"))
    first, last = within.start or 0, within.end or int(time.time())

    async def run() -> int:
        from .deribit.api import Api

        url = _revealed(settings.database_url) or ""
        proxy = _revealed(settings.deribit_proxy)
        async with (
            Store(url, interval=settings.snapshot_interval) as store,
            Api(settings.deribit_http_url, proxy=proxy, ca_file=settings.deribit_ca_file) as api,
        ):
            await store.migrate()
            with Progress(console=Console(stderr=True)) as progress:
                task = progress.add_task(ticker, total=last - first)
                return await Backfill(store, api).fill_range(
                    ticker, first, last, lambda done: progress.update(task, completed=done)
                )

    filled = _run(run)
    print(json.dumps({"ticker": ticker, "filled": filled}) if as_json else f"{filled} slots filled")


@app.command()
def migrate() -> None:
    """Bring the database forward to this program's revision; the gateway does it at its start too.

    Example: cryptomarket migrate
    """
    from .history.store import Store

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format, node=settings.node)

    async def run() -> str:
        url = _revealed(settings.database_url) or ""
        async with Store(url, interval=settings.snapshot_interval, pooled=False) as store:
            await store.migrate()
            return store.place

    print(f"{_run(run)} is up to date")


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Seal the logins in Redis with a new key, while gateways run; nobody is logged out.

    With a key file a new key is put before the others; gateways read it by themselves. With CRYPTOMARKET_SECRET_KEY put
    the new key before the old one first, and restart the gateways. Keep the old key for 27 hours: browsers hold tokens.

    Example: cryptomarket rotate-keys
    """
    from .persons.keys import add_key, file_keys
    from .persons.redis_cache import RedisCache
    from .persons.upkeep import rewrap_all
    from .persons.vault import Vault

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    keys, redis = _keys(settings), _revealed(settings.redis_url)
    if settings.secret_key is None:
        file_keys(_key_place(settings))()  # the first one, where there is none yet
        add_key(_key_place(settings))
    elif len(keys()) < 2:
        raise StartError("CRYPTOMARKET_SECRET_KEY holds one key: put the new one before it, with a comma")
    if redis is None:
        print("a new key is in force from the next start; logins are in the memory of the gateway", file=sys.stderr)
        return

    async def run() -> tuple[int, int]:
        async with contextlib.aclosing(RedisCache(redis)) as cache:
            return await rewrap_all(cache, Vault(keys))

    done, refused = _run(run)
    print(f"{done} records sealed with the newest key")
    if refused:
        raise StartError(f"{refused} records do not open with any of the keys and were left alone")


persons = typer.Typer(help="Persons who logged in: list them, forget one.", no_args_is_help=True)
app.add_typer(persons, name="persons")


@persons.command("list")
def list_persons(as_json: Json = False) -> None:
    """Print who was seen, and when first and last; the table is written once a day.

    Example: cryptomarket persons list --json
    """
    from .history.persons import all_seen
    from .history.synchronous import synchronously

    for seen in synchronously(_revealed(read_settings().database_url) or "", all_seen):
        if as_json:
            print(json.dumps(dataclasses.asdict(seen)))
        else:
            first, last = (datetime.fromtimestamp(at, UTC).isoformat() for at in (seen.first, seen.last))
            print(f"{seen.person_id}  {seen.username}  {seen.email}  {first}  {last}")


@persons.command("forget")
def forget_person(who: Annotated[str, typer.Argument(help="The person's id, username or e-mail.")]) -> None:
    """Erase a person from the database, and end its logins in Redis; exit code 1 when nobody is known by that name.

    Example: cryptomarket persons forget ada@example.com
    """
    from .history.persons import forget_person as erase
    from .history.synchronous import synchronously
    from .persons.redis_cache import RedisCache
    from .persons.sessions import Sessions
    from .persons.upkeep import forget
    from .persons.vault import Vault

    settings = read_settings()
    configure_logs("WARNING", settings.log_format, node=settings.node)
    redis = _revealed(settings.redis_url)
    erased = synchronously(_revealed(settings.database_url) or "", erase, who, writes=True)

    async def run() -> list[str]:
        if redis is None:
            return []
        async with contextlib.aclosing(RedisCache(redis)) as cache:
            return await forget(Sessions(cache, Vault(_keys(settings))), who)

    ended = _run(run)
    if not erased and not ended:
        raise StartError("nobody is known by that id, username or e-mail")
    print(f"{len(erased)} erased from the database, {len(ended)} logins ended")


def _key_place(settings: Settings) -> Path:
    from .persons.keys import key_file

    return Path(settings.secret_key_file or key_file(_revealed(settings.database_url) or ""))


def _keys(settings: Settings) -> Callable[[], Sequence[str]]:
    from .persons.keys import file_keys, split_keys

    fixed = _revealed(settings.secret_key)
    return (lambda: split_keys(fixed)) if fixed else file_keys(_key_place(settings))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is configured and what of it can be reached; exit code 1 when something needed cannot.

    Example: cryptomarket doctor --json
    """
    from .doctor import examine

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    run = functools.partial(
        examine,
        address=(settings.host, settings.port),
        tickers=settings.tickers,
        database_url=_revealed(settings.database_url) or "",
        exchange_url=settings.deribit_http_url,
        proxy=_revealed(settings.deribit_proxy),
        ca_file=settings.deribit_ca_file,
        redis_url=_revealed(settings.redis_url),
        login=bool(settings.deribit_client_id),
    )
    checks = _run(run)
    for check in checks:
        if as_json:
            print(json.dumps(dataclasses.asdict(check)))
        else:
            mark = "[green]ok[/]  " if check.ok else "[red]FAIL[/]"
            Console(highlight=False, soft_wrap=True).print(f"{mark} {check.name:9} {escape(check.says)}")
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _run(function: Callable[[], Awaitable[T]]) -> T:
    async def call() -> T:
        return await function()

    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(call())


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
