"""Browsers by the thousand: each keeps to the rules of an EventSource, and remembers all that it heard.

https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio

from tests.eventsource import Event, EventSourceParser

__all__ = ["Browser", "Closed", "Heard", "Opened", "Said", "TickHeard"]

#: A front gives up a node that does not answer for so long, and asks the next.
ANSWER_SECONDS = 5.0


class Opened(NamedTuple):
    """A stream was opened at an address, to go on after an id."""

    when: float
    address: str
    after: str


class TickHeard(NamedTuple):
    """A price with its place."""

    when: float
    epoch: int
    sequence: int
    ticker: str
    price: str
    exchange_timestamp: int

    @property
    def place(self) -> tuple[int, int]:
        """The order of the stream."""
        return self.epoch, self.sequence


class Said(NamedTuple):
    """An event of the connection channel."""

    when: float
    data: dict[str, Any]


class Closed(NamedTuple):
    """The stream ended, as it should or not."""

    when: float
    clean: bool


Heard = Opened | TickHeard | Said | Closed


@dataclass
class Browser:
    """One tab behind a front: ``front`` gives the addresses that should answer now."""

    front: Callable[[], Sequence[str]]
    query: str
    number: int = 0
    cookie: str = ""
    hasty: bool = False  # opens a new stream at once, as a page does that does not wait
    heard: list[Heard] = field(default_factory=list)
    last_event_id: str = ""
    retry_seconds: float = 1.0
    dead: str = ""
    epoch: int = 0
    address: str = ""

    async def run(self) -> None:
        """Open, read, wait and come back until cancelled; an answer but 200 closes it for good."""
        while not self.dead:
            with_stream = await self._dial()
            if with_stream is not None:
                clean = await self._read(*with_stream)
                self.heard.append(Closed(time.monotonic(), clean))
            await anyio.sleep(0.02 if self.hasty else self.retry_seconds)

    def ticks(self) -> list[TickHeard]:
        """The prices it heard, in order."""
        return [one for one in self.heard if isinstance(one, TickHeard)]

    def since(self, epoch: int) -> list[TickHeard]:
        """The prices of later epochs, in order."""
        found: list[TickHeard] = []
        for one in reversed(self.heard):
            if isinstance(one, TickHeard):
                if one.epoch <= epoch:
                    break
                found.append(one)
        return found[::-1]

    def said(self, *kinds: str) -> list[dict[str, Any]]:
        """What it was told beside prices."""
        return [one.data for one in self.heard if isinstance(one, Said) and one.data["kind"] in kinds]

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A stream from the first node that answers, the next one first each time."""
        addresses = list(self.front())
        for offset in range(len(addresses)):
            address = addresses[(self.number + offset) % len(addresses)]
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    return await self._open(address)
            except (OSError, TimeoutError, EOFError):
                self.number += 1
        return None

    async def _open(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            lines = [f"GET /sse/?{self.query} HTTP/1.1", f"Host: {address}", "Accept: text/event-stream"]
            lines += [f"Last-Event-ID: {self.last_event_id}"] if self.last_event_id else []
            lines += [f"Cookie: {self.cookie}"] if self.cookie else []
            writer.write("\r\n".join([*lines, "", ""]).encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except BaseException:
            writer.close()
            raise
        if " 200 " not in head.splitlines()[0]:
            self.dead = head.splitlines()[0]
            writer.close()
            return None
        self.address = address
        self.heard.append(Opened(time.monotonic(), address, self.last_event_id))
        return reader, writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read to the end; whether that was a clean one."""
        parser = EventSourceParser(last_event_id=self.last_event_id)
        try:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunk = await reader.readexactly(size + 2)
                for event in parser.feed(chunk[:-2]):
                    self._take(event)
            return True
        except (OSError, EOFError):
            return False
        finally:
            self.last_event_id = parser.last_event_id
            if parser.retry is not None:
                self.retry_seconds = parser.retry / 1000
            writer.close()

    def _take(self, event: Event) -> None:
        now, data = time.monotonic(), json.loads(event.data, parse_float=str)
        if event.event == "connection":
            if data["kind"] != "heartbeat":
                self.heard.append(Said(now, data))
            return
        self.epoch, sequence = map(int, event.id.split("-"))
        self.heard.append(
            TickHeard(now, self.epoch, sequence, event.event, str(data["price"]), data["exchange_timestamp"])
        )
