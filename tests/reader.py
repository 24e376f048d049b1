"""The browser's side of a stream: a real connection and a strict parser."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent

from .documented_objects import assert_described

__all__ = ["Reader", "exact", "reading"]


def exact(event: MessageEvent) -> Any:
    """Return the data of an event, with its price as an exact decimal."""
    return json.loads(event.data, parse_float=Decimal)


@dataclass
class Reader:
    """An open stream; ``ended_cleanly`` is None while it is open, and False after a broken connection."""

    response: httpx2.Response
    client: httpx2.AsyncClient
    parser: EventSourceParser = field(default_factory=EventSourceParser)
    ended_cleanly: bool | None = None

    def __post_init__(self) -> None:
        self._chunks = self.response.aiter_raw()
        self._waiting: list[MessageEvent] = []

    async def event(self) -> MessageEvent:
        """Return the next event. Raises EOFError when the stream has ended."""
        while not self._waiting:
            try:
                self._waiting = self.parser.receive(await anext(self._chunks))
            except StopAsyncIteration:
                self.ended_cleanly = True
                raise EOFError from None
            except httpx2.TransportError as exc:
                self.ended_cleanly = False
                raise EOFError from exc
            for event in self._waiting:
                assert_described(event)
        return self._waiting.pop(0)

    async def next(self, name: str) -> MessageEvent:
        """Return the next event of the channel; skip others."""
        while (event := await self.event()).event != name:
            pass
        return event

    async def rest(self) -> list[MessageEvent]:
        """Return all events until the stream ends."""
        events = []
        while True:
            try:
                events.append(await self.event())
            except EOFError:
                return events


@asynccontextmanager
async def reading(url: str, last_event_id: str = "", **headers: str) -> AsyncIterator[Reader]:
    """Open a stream. The test fails if the response is no event stream."""
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    async with (
        httpx2.AsyncClient(timeout=httpx2.Timeout(60)) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].split(";")[0] == "text/event-stream"
        yield Reader(response, client)
