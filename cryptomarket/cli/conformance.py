"""The command that examines the event stream of any server."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from .shared import Json, run_async

__all__ = ["conformance"]

#: How much is printed of what was seen.
MOST_CHARACTERS = 200


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("expected the full address of a stream, such as http://127.0.0.1:8000/sse/?timer=0")
    return url


def conformance(
    url: Annotated[str, typer.Argument(help="The full address of a stream.", callback=_address)],
    seconds: Annotated[float, typer.Option(help="How long to listen to the stream.", min=1, max=3600)] = 5,
    as_json: Json = False,
) -> None:
    """Examine the event stream of any server: its headers, its bytes, and how it takes readers back.

    It prints a line for each row: ok, FAIL, or skip where the stream has nothing to judge the row by.
    The exit code is 1 when a row fails or nobody answers.

    Example: cryptomarket conformance 'http://127.0.0.1:8000/sse/?timer=0'
    """
    from ..conformance.suite import examine

    console = Console(highlight=False, soft_wrap=True)

    async def run() -> bool:
        whole = True
        async for row in examine(url, seconds):
            whole = whole and row.holds is not False
            seen = _shown(row.seen)
            if as_json:
                print(json.dumps({"name": row.row, "ok": row.holds, "says": seen}), flush=True)
            else:
                mark = {True: "[green]ok[/]  ", False: "[red]FAIL[/]", None: "[dim]skip[/]"}[row.holds]
                console.print(f"{mark} {row.row:50} [dim]{escape(seen)}[/]")
        return whole

    sys.exit(0 if run_async(run) else 1)


def _shown(seen: str) -> str:
    """The text without control characters: a header may have some, which would command the terminal."""
    return "".join(one if one.isprintable() else "?" for one in seen[:MOST_CHARACTERS])
