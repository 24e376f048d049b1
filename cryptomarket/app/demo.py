"""The environment of `cryptomarket demo`: a simulated exchange and a temporary database with 30 days of history."""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import anyio.lowlevel
import structlog
from anyio.abc import TaskStatus

from ..model import Price
from ..simulator.accounts import DEFAULT_ACCOUNT
from ..simulator.exchange import running_exchange
from ..simulator.market import Market

__all__ = ["SeedHistory", "demo_world", "where_to_look"]

log = structlog.get_logger(__name__)

HISTORY_DAYS = 30
SEED = 1


@asynccontextmanager
async def demo_world() -> AsyncIterator[dict[str, str]]:
    """Run the simulated exchange; yields the settings of a gateway that uses it."""
    with tempfile.TemporaryDirectory(prefix="cryptomarket-demo-") as folder:
        async with running_exchange(seed=SEED) as exchange:
            yield {
                "exchange": "deribit",
                "coinbase_client_id": "",
                "deribit_ws_url": exchange.ws_url,
                "deribit_http_url": exchange.http_url,
                "deribit_client_id": "",
                "deribit_proxy": "",
                "redis_url": "",
                "public_url": "",
                "database_url": f"sqlite+aiosqlite:///{folder}/demo.db",
            }


def where_to_look(url: str) -> str:
    """What the demo prints at its start: the addresses and an account to log in with."""
    account = DEFAULT_ACCOUNT
    return f"""
The board      {url}
The history    {url}history
This node      {url}status
The API        {url}docs
The stream     curl -N '{url}sse/?timer=1'

Log in on the board with the client id {account.client_id} and the secret {account.client_secret}.
The exchange is simulated; Ctrl+C ends it all.
"""


class SeedHistory:
    """Writes the simulated prices of the last 30 days, newest first, and replaces none."""

    def __init__(
        self,
        insert: Callable[[list[Price]], Awaitable[object]],
        *,
        tickers: Iterable[str],
        interval: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._insert = insert
        self._tickers = tuple(tickers)
        self._interval = interval
        self._wall = wall

    async def run(self, *, task_status: TaskStatus[None]) -> None:
        """Write a day of one ticker at a time, so that pages have prices to show at once."""
        task_status.started()
        market = Market(SEED)
        end = int(self._wall()) // self._interval * self._interval
        rows = 0
        for day in range(HISTORY_DAYS):
            for ticker in self._tickers:
                until = end - day * 86_400
                prices = list(market.prices(ticker, (until - 86_400) * 1000, until * 1000, self._interval))
                await self._insert(prices)
                rows += len(prices)
                await anyio.lowlevel.checkpoint()
        log.info("simulated history written", days=HISTORY_DAYS, rows=rows)
