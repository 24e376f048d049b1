"""What the commands share: their options, and how a coroutine of theirs runs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from pydantic import SecretStr

__all__ = ["From", "Host", "Json", "Port", "Ticker", "To", "new_event_loop", "revealed", "run_async"]

T = TypeVar("T")

Host = Annotated[str | None, typer.Option(help="Address to listen on (default 127.0.0.1).")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (default 8000).")]
Ticker = Annotated[str, typer.Option(help="The name of the price, such as btc_usd.")]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601 (UTC), or UNIX seconds or milliseconds; included.")]
To = Annotated[str | None, typer.Option("--to", help="The same; not included, but a bare date is the whole day.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


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
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
