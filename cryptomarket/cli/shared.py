"""The options that several commands have, and the way they run a coroutine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from pydantic import SecretStr
from typer.core import TyperCommand

__all__ = ["From", "Host", "Json", "OrderedCommand", "Port", "Ticker", "To", "new_event_loop", "revealed", "run_async"]

T = TypeVar("T")

Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (default 8000).")]
Ticker = Annotated[str, typer.Option(help="The ticker, such as btc_usd.")]
From = Annotated[str | None, typer.Option("--from", help="The start: ISO 8601 (UTC), UNIX seconds or milliseconds.")]
To = Annotated[str | None, typer.Option("--to", help="The end, not included; a bare date includes its whole day.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object on each line.")]


class OrderedCommand(TyperCommand):
    """Stores the options as ``(name, value)`` in the order in which they were given, in the context's ``obj``.

    The library collects each repeated option in a list of its own, which loses which of them belong together.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raises the library's error for wrong usage."""
        given, _, order = self.make_parser(ctx).parse_args(list(args))
        values = {name: iter(value) for name, value in given.items() if isinstance(value, list)}
        ctx.obj = [(option.name, next(values[option.name])) for option in order if option.name in values]
        return super().parse_args(ctx, args)


def revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def run_async(function: Callable[[], Awaitable[T]]) -> T:
    async def call() -> T:
        return await function()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(call())


def new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # it does not exist for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
