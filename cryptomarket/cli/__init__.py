"""The command line: reads the settings, builds what a command needs, and prints our errors as a sentence.

Exit codes: 0 done, 1 something failed or is missing, 2 wrong usage or settings, 130 interrupted.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import CryptomarketError, SettingsError, StartError
from ..fields import FIELD_GROUPS
from ..hardening import forbid_core_dumps, keep_files_private
from ..logs import configure_logs
from ..settings import Settings, read_settings, unknown_settings
from . import history, persons, snapshot
from .bench import bench
from .conformance import conformance
from .init import init
from .shared import Host, Json, OrderedCommand, Port, revealed, run_async
from .verify import verify

__all__ = ["app", "main"]

app = typer.Typer(
    name="cryptomarket",
    help="A real-time gateway for prices of the Deribit exchange.",
    epilog="Exit codes: 0 done, 1 something failed or is missing, 2 wrong usage or settings, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run a command. One of our errors is printed on standard error as a sentence, without a traceback."""
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
    workers: Annotated[int, typer.Option(help="Processes that share the port; more than one need Redis.", min=1)] = 1,
    worker_of: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Run the gateway, connected to the exchange of the settings.

    Example: cryptomarket serve --port 8080 --workers 4
    """
    # Commands import what they use: the libraries of a server take a second, which `--help` and `tail` do not need.
    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    forbid_core_dumps()
    keep_files_private()
    if workers > 1:
        _serve_by_workers(settings, workers)
    from ..app.gateway import serve as serve_gateway

    run_async(functools.partial(serve_gateway, settings, group=worker_of))


def _serve_by_workers(settings: Settings, count: int) -> NoReturn:
    """Run ``count`` gateways until a signal. Raises StartError without Redis."""
    from ..app.workers import Workers, reserved_port

    if settings.redis_url is None:
        raise StartError(
            f"{count} workers need Redis, over which they share one connection to the exchange: "
            "set CRYPTOMARKET_REDIS_URL, or leave --workers out"
        )
    with reserved_port(settings.host, settings.port) as holder:
        address = ["--host", settings.host, "--port", str(holder.getsockname()[1])]

        def command(number: int) -> list[str]:
            node = ["env", f"CRYPTOMARKET_NODE={settings.node}-{number}"]
            return [*node, sys.executable, "-m", "cryptomarket", "serve", *address, "--worker-of", settings.node]

        raise typer.Exit(run_async(Workers(count, command).run))


@app.command()
def demo(host: Host = None, port: Port = None) -> None:
    """Run the gateway with a simulated exchange: without network, without account, with a database that is temporary.

    It prints the address of the dashboard, and an API key to log in with.

    Example: cryptomarket demo --port 8080
    """
    from ..app.demo import SeedHistory, demo_world, where_to_look
    from ..app.gateway import BackgroundTask, Gateway
    from ..app.gateway import serve as serve_gateway

    def seed_history(gateway: Gateway) -> list[BackgroundTask]:
        settings = gateway.settings
        write = gateway.history.insert_missing
        return [SeedHistory(write, tickers=settings.tickers, interval=settings.snapshot_interval).run]

    async def run() -> None:
        async with demo_world() as world:
            world_settings = read_settings(host=host, port=port, node=settings.node, **world)
            await serve_gateway(world_settings, seed_history, lambda url: print(where_to_look(url), flush=True))

    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    run_async(run)


@app.command(cls=OrderedCommand)
def simulate(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for a free one.", min=0, max=65_535)] = 8765,
    door: Annotated[str, typer.Option(help="What to be: deribit, coinbase-streams or coinbase-main.")] = "deribit",
    seed: Annotated[int, typer.Option(help="The same seed gives the same prices.")] = 1,
    client_id: Annotated[list[str] | None, typer.Option(help="An account's API key; repeatable.")] = None,
    client_secret: Annotated[list[str] | None, typer.Option(help="The secret of the key given before it.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="The e-mail of the key given before it.")] = None,
    replay: Annotated[list[Path] | None, typer.Option(help="Serve recorded messages; repeatable.", exists=True)] = None,
    speed: Annotated[float, typer.Option(help="Replay this many times faster than recorded; 0: at once.", min=0)] = 1.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Inject a fault, such as drop:argument@after/every; repeatable."),
    ] = None,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="Choose a behaviour that Deribit leaves open: name=value; repeatable."),
    ] = None,
    time_scale: Annotated[float, typer.Option(help="Tick so many times as often.", min=0.1)] = 1.0,
    day: Annotated[bool, typer.Option("--day", help="A real day: 5,000 instruments, a lock, a maintenance.")] = False,
) -> None:
    """Run the simulated exchange alone: Deribit's WebSocket and HTTP interface with prices from a seeded walk.

    While it runs, GET /control on its address lists the faults, and POST /control/drop injects one.

    Example: cryptomarket simulate --client-id me --client-secret mine --email me@example.com

    Example: cryptomarket simulate --fault drop/30 --fault delay:0.5@10
    """
    from ..simulator.cli import CannotSimulate, accounts_of, simulate_exchange

    try:
        accounts = accounts_of(context.obj, door)
        run = functools.partial(simulate_exchange, host, port, door, seed, accounts, replay or [], speed)
        run_async(functools.partial(run, fault or [], switch or [], time_scale, day))
    except CannotSimulate as exc:
        raise StartError(str(exc)) from exc


@app.command()
def tail(
    url: Annotated[str, typer.Option(help="The address of the gateway.")] = "http://127.0.0.1:8000",
    timer: Annotated[float, typer.Option(help="Seconds between deliveries, 0 for every tick.")] = 1,
    channels: Annotated[str | None, typer.Option(help="Tickers to print, separated by commas.")] = None,
    fields: Annotated[str | None, typer.Option(help=f"Of instruments: some of {','.join(FIELD_GROUPS)}.")] = None,
    as_json: Json = False,
) -> None:
    """Print the stream of a running gateway, one line for each event, until interrupted.

    Example: cryptomarket tail --timer 0 --channels BTC-PERPETUAL --fields quote,funding --json
    """
    from .tail import Event, Lines, follow

    def show_json(event: Event) -> None:
        print(event.json(), flush=True)

    show = show_json if as_json else Lines(Console()).show
    run_async(functools.partial(follow, url, show, timer=timer, channels=channels, fields=fields))


for command in (history.history, history.export, history.gaps, history.backfill, snapshot.snapshot):
    app.command()(command)


@app.command()
def migrate() -> None:
    """Migrate the database to the revision of this program; the gateway also does so when it starts.

    Example: cryptomarket migrate
    """
    from ..database.engine import Database
    from ..history.writer import HistoryWriter

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format, node=settings.node)

    async def run() -> str:
        url = revealed(settings.database_url) or ""
        async with Database(url, pooled=False) as database:
            await HistoryWriter(database, settings.snapshot_interval).migrate()
            return database.place

    print(f"{run_async(run)} is up to date")


app.command()(init)
app.command()(bench)
app.command()(conformance)
app.command()(verify)
app.command("rotate-keys")(persons.rotate_keys)
app.add_typer(persons.persons, name="persons")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the port, database, disk, exchange, API key and Redis of the settings by using each of them.

    A variable that looks like a setting and is none is named as well, and so is a public address that protects nobody.

    The exit code is 1 when one of them fails. Nothing is changed, and no secret is printed.

    Example: cryptomarket doctor --json
    """
    from ..app.health import Doctor, public_url_check
    from ..deribit.auth import Credentials, Secret
    from ..persons.keyring import Keyring
    from ..persons.keys import key_file, operator_keys
    from ..web.health import Check

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format, node=settings.node)
    database_url = revealed(settings.database_url) or ""
    secret = revealed(settings.deribit_client_secret)
    place = Path(settings.secret_key_file or key_file(database_url))
    # Without a key none is made: the gateway makes it.
    has_key = settings.secret_key is not None or place.exists()
    configured = Doctor(
        address=(settings.host, settings.port),
        tickers=settings.tickers,
        database_url=database_url,
        key_file=None if settings.secret_key else place,
        keys=Keyring(operator_keys(revealed(settings.secret_key), place)) if has_key else None,
        door=settings.door,
        proxy=revealed(settings.deribit_proxy),
        ca_file=settings.deribit_ca_file,
        credentials=Credentials(settings.deribit_client_id, Secret(secret)) if secret else None,
        redis_url=revealed(settings.redis_url),
    )
    checks = run_async(configured.examine)
    checks["public"] = public_url_check(settings.public_url, settings.trusted_proxies)
    if unknown := unknown_settings():
        checks["settings"] = Check(False, f"no settings, so they change nothing: {', '.join(unknown)}")
    for name, check in checks.items():
        if as_json:
            print(json.dumps({"name": name, "ok": check.ok, "says": check.detail}))
        else:
            mark = "[green]ok[/]  " if check.ok else "[red]FAIL[/]" if check.needed else "[yellow]warn[/]"
            Console(highlight=False, soft_wrap=True).print(f"{mark} {name:9} {escape(check.detail)}")
    raise typer.Exit(0 if all(check.ok or not check.needed for check in checks.values()) else 1)
