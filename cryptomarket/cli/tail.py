"""The stream in a terminal: reads `/sse/` of a running gateway, reconnects, and prints each event as a line."""

import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
import httpx2
from rich.console import Console
from rich.markup import escape

from ..errors import CryptomarketError
from ..fields import FIELD_GROUPS
from ..model import plain

__all__ = ["Event", "Lines", "events", "follow"]

#: A gateway sends an event at least every 15 s; after a longer silence the connection is dead.
SILENCE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream: its name, its id (empty on `connection` events) and its data as JSON text."""

    name: str
    id: str
    text: str

    @property
    def data(self) -> dict[str, Any]:
        """The decoded data; numbers with a fraction are Decimals."""
        decoded: dict[str, Any] = json.loads(self.text, parse_float=Decimal)
        return decoded

    def json(self) -> str:
        """The event as one line of JSON, with its data exactly as received."""
        return f'{{"event":{json.dumps(self.name)},"id":{json.dumps(self.id)},"data":{self.text}}}'


class Lines:
    """Prints events as lines of text: a price with its direction, or the state of the connection."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, Decimal] = {}

    def show(self, event: Event) -> None:
        """Print one event."""
        self._console.print(self._line(event), highlight=False, soft_wrap=True)

    def _line(self, event: Event) -> str:
        data = event.data
        if event.name == "connection":
            words = (data.get("kind"), data.get("state") or data.get("reason"), data.get("ticker"))
            return f"[dim]{'':8}  {escape(' '.join(str(word) for word in words if word))}[/]"
        price, before = Decimal(data["price"]), self._last.get(event.name)
        self._last[event.name] = price
        colour, arrow = ("dim", " ") if before in (None, price) else ("green", "▲") if price > before else ("red", "▼")
        clock = datetime.fromtimestamp(data["timestamp"], UTC).strftime("%H:%M:%S")
        line = f"[dim]{clock}[/]  {escape(event.name):20} [{colour}]{plain(price):>18} {arrow}[/]"
        return line + "".join(f"  [dim]{group}[/] {_values(data[group])}" for group in FIELD_GROUPS if group in data)


def _values(group: dict[str, Decimal | int | None] | None) -> str:
    """The values of a group of fields, each with its name."""
    if group is None:
        return "-"
    values = ((name, "-" if value is None else plain(Decimal(value))) for name, value in group.items())
    return " ".join(f"{name}={value}" for name, value in values)


async def events(lines: AsyncIterator[str], retry: Callable[[float], None]) -> AsyncIterator[Event]:
    """Parse the lines of one response; ``retry`` is called with the pause before reconnecting, in seconds."""
    name, last_id, data = "", "", []
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            last_id = value
        elif field == "data":
            data.append(value)
        elif field == "retry" and value.isdigit():
            retry(int(value) / 1000)
        elif not line and data:
            yield Event(name, last_id, "\n".join(data))
            name, last_id, data = "", "", []


async def follow(
    url: str, show: Callable[[Event], None], *, timer: float, channels: str | None = None, fields: str | None = None
) -> None:
    """Call ``show`` with every event of the gateway at ``url``, reconnecting when needed, until cancelled.

    Raises CryptomarketError when the gateway refuses the request, or cannot be reached at the first attempt.
    """
    wait = 1.0

    def set_wait(seconds: float) -> None:
        nonlocal wait
        wait = seconds

    last_id, reached = "", False
    query: dict[str, str | float] = {"timer": timer}
    query |= {name: value for name, value in (("channels", channels), ("fields", fields)) if value}
    async with httpx2.AsyncClient(timeout=httpx2.Timeout(10, read=SILENCE_SECONDS)) as client:
        while True:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            try:
                async with client.stream("GET", f"{url.rstrip('/')}/sse/", params=query, headers=headers) as response:
                    if response.status_code != 200:
                        raise CryptomarketError(_refusal(await response.aread(), response.status_code))
                    reached = True
                    async for event in events(response.aiter_lines(), set_wait):
                        last_id = event.id or last_id
                        show(event)
            except (httpx2.HTTPError, OSError) as exc:
                if not reached:
                    raise CryptomarketError(f"no gateway at {url}: {exc or type(exc).__name__}") from exc
            await anyio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 (jitter, no secret)


def _refusal(body: bytes, status: int) -> str:
    try:
        problem = json.loads(body)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {status}"
