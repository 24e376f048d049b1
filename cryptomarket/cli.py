"""The command line: reads the settings, builds what a command needs, and turns our errors into a sentence and a code.

Exit codes: 0 done, 1 something failed, 2 wrong usage or settings, 130 interrupted.
"""

import asyncio
import dataclasses
import functools
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape

from .errors import CryptomarketError, SettingsError, StartError
from .logs import configure_logs
from .settings import read_settings

__all__ = ["app", "main"]

app = typer.Typer(
    name="cryptomarket",
    help="A real-time gateway for prices of the Deribit exchange.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

T = TypeVar("T")

Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (default 8000).")]
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
def serve(host: Host = None, port: Port = None) -> None:
    """Run the gateway against the exchange of the settings.

    Example: cryptomarket serve --port 8080
    """
    # Imported where they are used: a server's libraries take a second that `--help` and `tail` should not wait for.
    from .gateway import serve as serve_gateway

    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format)
    _run(functools.partial(serve_gateway, settings))


@app.command()
def demo(host: Host = None, port: Port = None) -> None:
    """Run the gateway against a simulated exchange: no network, no account, a database that goes with the process.

    Example: cryptomarket demo, then open http://127.0.0.1:8000/
    """
    from .demo import Past, demo_world
    from .gateway import Gateway, Part
    from .gateway import serve as serve_gateway

    def past(gateway: Gateway) -> list[Part]:
        settings = gateway.settings
        write = gateway.store.insert_missing
        return [Past(write, tickers=settings.tickers, interval=settings.snapshot_interval).run]

    async def run() -> None:
        async with demo_world() as world:
            await serve_gateway(read_settings(host=host, port=port, **world), past)

    settings = read_settings(host=host, port=port)
    configure_logs(settings.log_level, settings.log_format)
    _run(run)


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on, 0 for a free one.")] = 8765,
    seed: Annotated[int, typer.Option(help="The same seed gives the same prices.")] = 1,
    client_id: Annotated[list[str] | None, typer.Option(help="An account's API key; repeatable.")] = None,
    client_secret: Annotated[list[str] | None, typer.Option(help="The secret of the key before it.")] = None,
    email: Annotated[list[str] | None, typer.Option(help="The e-mail of the account.")] = None,
    replay: Annotated[list[Path] | None, typer.Option(help="Serve recorded lines; repeatable.", exists=True)] = None,
    speed: Annotated[float, typer.Option(help="How many times faster than recorded; 0: at once.", min=0)] = 1.0,
) -> None:
    """Run the simulated exchange alone: Deribit's WebSocket and HTTP interface with prices from a seeded walk.

    Example: cryptomarket simulate --client-id me --client-secret mine --email me@example.com
    """
    from .simulator.cli import CannotSimulate, accounts_of, simulate_exchange

    try:
        accounts = accounts_of(client_id or [], client_secret or [], email or [])
        _run(functools.partial(simulate_exchange, host, port, seed, accounts, replay or [], speed))
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
def doctor(as_json: Json = False) -> None:
    """Say what is configured and what of it can be reached; exit code 1 when something needed cannot.

    Example: cryptomarket doctor --json
    """
    from .doctor import examine

    settings = read_settings()
    configure_logs(settings.log_level, settings.log_format)
    run = functools.partial(
        examine,
        address=(settings.host, settings.port),
        tickers=settings.tickers,
        database_url=_revealed(settings.database_url) or "",
        exchange_url=settings.deribit_http_url,
        proxy=_revealed(settings.deribit_proxy),
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
