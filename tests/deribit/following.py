"""A client that runs within a block, and what it published, so that a test can wait for conditions."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio

from cryptomarket.deribit.client import DeribitClient
from cryptomarket.deribit.doors import DOORS, Door
from cryptomarket.deribit.rate_limit import Group, RateLimiter
from cryptomarket.deribit.timeouts import Timeouts
from cryptomarket.model import Gap, Message, Tick, Upstream, UpstreamState

__all__ = ["QUICK", "WATCHFUL", "Clock", "Follower", "Noting", "door_at", "following", "held_up"]

#: Our own pauses are short; timeouts of the peer stay long, because a busy machine is no failure.
QUICK = Timeouts(
    connect=20,
    greeting=20,
    answer=20,
    silence=0.5,
    probe=20,
    rhythm=20,
    first=20,
    unlearned=20,
    settle=0.1,
    starvation=60,
    retry=0.1,
    check=0.02,
    first_pause=0.02,
    refused=0.2,
    stopped=0.5,
)
#: For tests of silence: silent channels and connections are noticed at once.
WATCHFUL = replace(QUICK, probe=0.3, rhythm=0.3, first=0.5, unlearned=0.5, starvation=3)


class Clock:
    """A monotonic clock that a test may set forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def jump(self, seconds: float) -> None:
        """So much time passes at once."""
        self._ahead += seconds


class Noting(RateLimiter):
    """A budget that keeps when which request was let go: exact, however late a busy peer reads it."""

    def __init__(self, *, time_scale: float) -> None:
        super().__init__(time_scale=time_scale)
        self.taken: list[tuple[Group, float]] = []

    def take(self, group: Group, now: float) -> None:
        self.taken.append((group, now))
        super().take(group, now)


@asynccontextmanager
async def held_up() -> AsyncIterator[Callable[[], float]]:
    """Yields a function that returns for how many seconds this process could not run: subtract them from a time."""
    lost = 0.0

    async def watch() -> None:
        nonlocal lost
        while True:
            before = time.monotonic()
            await anyio.sleep(0.05)
            lost += max(0.0, time.monotonic() - before - 0.06)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield lambda: lost
        tasks.cancel_scope.cancel()


class Follower:
    """Keeps what a client published."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.deribit_client: DeribitClient
        self._arrived = anyio.Event()

    def receive(self, message: Message) -> None:
        self.messages.append(message)
        self._arrived.set()
        self._arrived = anyio.Event()

    @property
    def ticks(self) -> list[Tick]:
        return [m for m in self.messages if isinstance(m, Tick)]

    @property
    def states(self) -> list[UpstreamState]:
        return [m.state for m in self.messages if isinstance(m, Upstream)]

    @property
    def gaps(self) -> list[str]:
        return [m.ticker for m in self.messages if isinstance(m, Gap)]

    def ticks_of(self, ticker: str) -> int:
        """How many ticks of the ticker came so far."""
        return sum(tick.ticker == ticker for tick in self.ticks)

    def ticks_since(self, start: int) -> list[Tick]:
        """The ticks among the messages from that place on."""
        return [m for m in self.messages[start:] if isinstance(m, Tick)]

    async def until(self, holds: Callable[[], Any], within: float = 30.0) -> None:
        """Wait until something holds, looking at each message and now and then."""
        with anyio.fail_after(within):
            while not holds():
                with anyio.move_on_after(0.02):
                    await self._arrived.wait()

    async def tick_of(self, ticker: str, within: float = 30.0) -> Tick:
        """The next tick of the ticker from now on."""
        start = len(self.messages)
        await self.until(lambda: any(self._ticks_from(start, ticker)), within)
        return self._ticks_from(start, ticker)[0]

    def _ticks_from(self, start: int, ticker: str) -> list[Tick]:
        return [m for m in self.messages[start:] if isinstance(m, Tick) and m.ticker == ticker]


def door_at(url: str, like: str = "deribit") -> Door:
    """The door of that name, with its host of prices at a server of the test."""
    return replace(DOORS[like], prices_url=url)


@asynccontextmanager
async def following(url: str | Door, *tickers: str, **options: Any) -> AsyncIterator[Follower]:
    """A client of the tickers against a server, reached as the exchange itself or by a door; and what it publishes."""
    follower = Follower()
    options.setdefault("timeouts", QUICK)
    door = url if isinstance(url, Door) else door_at(url)
    follower.deribit_client = DeribitClient(door, tickers=tickers or ("btc_usd",), publish=follower.receive, **options)
    async with anyio.create_task_group() as tasks:
        await tasks.start(follower.deribit_client.run)
        yield follower
        tasks.cancel_scope.cancel()
