"""Honest streams, and the check of everything they are told against the simulated market."""

import asyncio
import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httptools

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from cryptomarket.model import is_index
from cryptomarket.simulator.market import Market

from .target import SEED

__all__ = ["HonestStream", "StreamReport", "Truth", "leave", "open_streams"]

#: A silence that is told or seen and cannot be the market's, which ticks every second; a busy machine explains less.
SILENT_MS = 10_000
#: Some exchange timestamps of instruments step back by so many milliseconds.
BACK_MS = 136
#: The channels of honest streams: most want the two prices, some an instrument of their own.
COMMON = "btc_usd,eth_usd"
OWN = ("BTC-PERPETUAL", "ETH-PERPETUAL")
TIMERS = ("0", "1", "2", "5", "0.5")
#: Streams of one address.
OF_ADDRESS = 10
NETWORK = "127.2"


class Truth:
    """The prices of the simulated market: a function of its seed and the time."""

    def __init__(self) -> None:
        self._market = Market(SEED)
        self._known: dict[tuple[str, int], set[float]] = {}

    def right(self, price: dict[str, Any]) -> bool:
        """Whether the exchange had this price at its timestamp."""
        key = (price["ticker"], price["exchange_timestamp"])
        if key not in self._known:
            if len(self._known) > 5_000:
                self._known.clear()
            self._known[key] = set(self._prices(*key))
        return price["price"] in self._known[key]

    def _prices(self, ticker: str, moment: int) -> list[float]:
        if is_index(ticker):
            return [self._market.index_price(ticker, moment)]
        instrument = self._market.instruments(moment).get(ticker)
        if instrument is None:
            return []
        return [self._market.mark_price(instrument, moment), self._market.mark_price(instrument, moment + BACK_MS)]


@dataclass
class StreamReport:
    """What honest streams saw; ``ages`` are seconds from a tick to its arrival, of streams that get each at once."""

    opened: int = 0
    events: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    longest_silence: float = 0.0

    def note(self, what: str, example: object) -> None:
        """Count something wrong, and keep the first two examples of each."""
        self.wrong[what] += 1
        if self.wrong[what] <= 2:
            self.examples.append(f"{what}: {str(example)[:200]}")


class HonestStream(asyncio.Protocol):
    """One stream, checked as it arrives: it is never closed, ids rise, prices are right, nothing false is told."""

    def __init__(self, query: str, truth: Truth, report: StreamReport) -> None:
        self._query, self._truth, self._report = query, truth, report
        self._http = httptools.HttpResponseParser(self)
        self._events = EventSourceParser()
        self._immediate = query.startswith("timer=0&")
        self._last_id = (0, 0)
        self._last_price = 0.0
        self.leaving = False
        self.joined = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"GET /sse/?{self._query} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Parse what arrived."""
        try:
            self._http.feed_data(data)
        except (httptools.HttpParserError, ValueError) as exc:
            self._report.note("broken bytes", f"{exc!r} {data[:100]!r}")

    def on_headers_complete(self) -> None:
        """Check the status."""
        if self._http.get_status_code() != 200:
            self._report.note("refused", self._http.get_status_code())

    def on_body(self, body: bytes) -> None:
        """Check the events."""
        for event in self._events.receive(body):
            self._report.events += 1
            if event.event == "connection":
                self._connection(json.loads(event.data))
            else:
                self._price(event)

    def _price(self, event: MessageEvent) -> None:
        now, price = time.time(), json.loads(event.data)
        epoch, sequence = map(int, event.id.split("-"))
        if (epoch, sequence) <= self._last_id:
            self._report.note("ids do not rise", f"{event.id} after {self._last_id}")
        if not self._truth.right(price):
            self._report.note("wrong price", event.data)
        if self.joined and self._immediate and is_index(price["ticker"]):
            self._report.ages.append(now - price["exchange_timestamp"] / 1000)
        if self.joined:
            self._report.longest_silence = max(self._report.longest_silence, now - self._last_price)
        self._last_id, self._last_price = (epoch, sequence), now

    def _connection(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "upstream":
            self.joined, self._last_price = True, self._last_price or time.time()
            if event["state"] != "live":
                self._report.note(f"told {event['state']}", event)
        elif kind == "gap":
            self._report.note(f"gap {event['reason']}", event)
        elif kind != "heartbeat":
            self._report.note(f"told {kind}", event)
        if old := {name: age for name, age in event.get("ages", {}).items() if age > SILENT_MS and is_index(name)}:
            self._report.note("told that prices are old", old)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a stream that was closed, unless it left."""
        if not self.leaving:
            self._report.closed[type(exc).__name__ if exc else "ended"] += 1


async def open_streams(port: int, count: int, report: StreamReport) -> list[HonestStream]:
    """Open ``count`` streams from many addresses; return them when each was told the state."""
    truth, loop, streams = Truth(), asyncio.get_running_loop(), list[HonestStream]()
    for number in range(count):
        channels = COMMON if number % 5 else f"{COMMON},{OWN[number // 5 % len(OWN)]}"
        query = f"timer={TIMERS[number % len(TIMERS)]}&channels={channels}"
        address = f"{NETWORK}.{number // OF_ADDRESS // 250}.{number // OF_ADDRESS % 250 + 1}"
        raw = socket.socket()
        raw.setblocking(False)
        raw.bind((address, 0))
        await loop.sock_connect(raw, ("127.0.0.1", port))
        _, stream = await loop.create_connection(partial(HonestStream, query, truth, report), sock=raw)
        streams.append(stream)
        report.opened += 1
        await asyncio.sleep(0.002)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not all(stream.joined for stream in streams):
                await asyncio.sleep(0.05)
    return streams


def leave(streams: Sequence[HonestStream]) -> None:
    """Close the streams."""
    for stream in streams:
        stream.leaving = True
        if stream.transport is not None:
            stream.transport.abort()
