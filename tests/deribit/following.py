"""A supervisor that runs within a block, and what it published, so that a test can wait for things."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from cryptomarket.deribit.patience import Patience
from cryptomarket.deribit.supervisor import Supervisor
from cryptomarket.model import Gap, Message, Tick, Upstream, UpstreamState

__all__ = ["QUICK", "Follower", "following"]

#: A tenth of the real patience: tests see the same order of things sooner.
QUICK = Patience(
    connect=2,
    greeting=1,
    answer=3,
    silence=0.5,
    probe=0.3,
    rhythm=0.3,
    first=0.5,
    starvation=3,
    retry=0.1,
    look=0.02,
    first_pause=0.02,
    answered=0.2,
    stopped=0.5,
)


class Follower:
    """Keeps what a supervisor published."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.supervisor: Supervisor
        self._news = anyio.Event()

    def receive(self, message: Message) -> None:
        self.messages.append(message)
        self._news.set()
        self._news = anyio.Event()

    @property
    def ticks(self) -> list[Tick]:
        return [m for m in self.messages if isinstance(m, Tick)]

    @property
    def states(self) -> list[UpstreamState]:
        return [m.state for m in self.messages if isinstance(m, Upstream)]

    @property
    def gaps(self) -> list[str]:
        return [m.ticker for m in self.messages if isinstance(m, Gap)]

    def ticks_since(self, start: int) -> list[Tick]:
        """The ticks among the messages from that place on."""
        return [m for m in self.messages[start:] if isinstance(m, Tick)]

    async def until(self, holds: Callable[[], Any], within: float = 5.0) -> None:
        """Wait until something holds, looking at each message and now and then."""
        with anyio.fail_after(within):
            while not holds():
                with anyio.move_on_after(0.02):
                    await self._news.wait()

    async def tick_of(self, ticker: str, within: float = 5.0) -> Tick:
        """The next tick of the ticker from now on."""
        start = len(self.messages)
        await self.until(lambda: any(self._ticks_from(start, ticker)), within)
        return self._ticks_from(start, ticker)[0]

    def _ticks_from(self, start: int, ticker: str) -> list[Tick]:
        return [m for m in self.messages[start:] if isinstance(m, Tick) and m.ticker == ticker]


@asynccontextmanager
async def following(url: str, *tickers: str, **options: Any) -> AsyncIterator[Follower]:
    """A supervisor of the tickers against a server, and what it publishes."""
    follower = Follower()
    options.setdefault("patience", QUICK)
    follower.supervisor = Supervisor(url, tickers=tickers or ("btc_usd",), publish=follower.receive, **options)
    async with anyio.create_task_group() as tasks:
        await tasks.start(follower.supervisor.run)
        yield follower
        tasks.cancel_scope.cancel()
