"""Browsers, cheap enough for thousands: each follows the rules of an EventSource, and records what it received.

https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anyio

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent

__all__ = ["Browser", "Closed", "ConnectionEvent", "Opened", "Received", "ReceivedTick"]

#: After this time without a response the load balancer tries the next node.
ANSWER_SECONDS = 5.0


class Opened(NamedTuple):
    """A stream was opened at an address, with ``after`` as its Last-Event-ID."""

    when: float
    address: str
    after: str


class ReceivedTick(NamedTuple):
    """A price with its epoch and sequence."""

    when: float
    epoch: int
    sequence: int
    ticker: str
    price: str
    exchange_timestamp: int

    @property
    def place(self) -> tuple[int, int]:
        """The epoch and sequence, which order the ticks."""
        return self.epoch, self.sequence


class ConnectionEvent(NamedTuple):
    """An event of the connection channel except heartbeats."""

    when: float
    data: dict[str, Any]


class Closed(NamedTuple):
    """The stream ended; ``clean`` if its last chunk arrived."""

    when: float
    clean: bool


Received = Opened | ReceivedTick | ConnectionEvent | Closed


@dataclass
class Browser:
    """One tab behind a load balancer; ``addresses`` returns the nodes that should answer now."""

    addresses: Callable[[], Sequence[str]]
    query: str
    number: int = 0
    cookie: str = ""
    reopens_at_once: bool = False  # instead of after the time of `retry:`
    received: list[Received] = field(default_factory=list)
    last_event_id: str = ""
    retry_seconds: float = 1.0
    dead: str = ""
    epoch: int = 0
    address: str = ""
    writer: asyncio.StreamWriter | None = None

    def follow(self, cookie: str) -> None:
        """Reopen the stream with another cookie, as a page does."""
        self.cookie = cookie
        if self.writer is not None:
            self.writer.close()

    async def run(self) -> None:
        """Open a stream, read it, wait, and reconnect until cancelled; a status other than 200 ends the browser."""
        while not self.dead:
            with_stream = await self._connect()
            if with_stream is not None:
                clean = await self._read(*with_stream)
                self.received.append(Closed(time.monotonic(), clean))
            await anyio.sleep(0.02 if self.reopens_at_once else self.retry_seconds)

    def ticks(self) -> list[ReceivedTick]:
        """Return the received prices, in order."""
        return [one for one in self.received if isinstance(one, ReceivedTick)]

    def since(self, epoch: int) -> list[ReceivedTick]:
        """Return the received prices of later epochs, in order."""
        found: list[ReceivedTick] = []
        for one in reversed(self.received):
            if isinstance(one, ReceivedTick):
                if one.epoch <= epoch:
                    break
                found.append(one)
        return found[::-1]

    def connection_events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the data of the received connection events of these kinds, in order."""
        return [one.data for one in self.received if isinstance(one, ConnectionEvent) and one.data["kind"] in kinds]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a stream of the first node that answers; after a failure the next node is tried first."""
        addresses = list(self.addresses())
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
        self.received.append(Opened(time.monotonic(), address, self.last_event_id))
        return reader, writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read to the end of the stream; return whether it was a clean one."""
        parser, self.writer = EventSourceParser(last_event_id=self.last_event_id), writer
        try:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunk = await reader.readexactly(size + 2)
                for event in parser.receive(chunk[:-2]):
                    self._record(event)
            return True
        except (OSError, EOFError):
            return False
        finally:
            self.last_event_id = parser.last_event_id
            if parser.retry is not None:
                self.retry_seconds = parser.retry / 1000
            writer.close()

    def _record(self, event: MessageEvent) -> None:
        now, data = time.monotonic(), json.loads(event.data, parse_float=str)
        if event.event == "connection":
            if data["kind"] != "heartbeat":
                self.received.append(ConnectionEvent(now, data))
            return
        self.epoch, sequence = map(int, event.id.split("-"))
        self.received.append(
            ReceivedTick(now, self.epoch, sequence, event.event, str(data["price"]), data["exchange_timestamp"])
        )
