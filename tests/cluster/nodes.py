"""A cluster of gateway processes on one Redis, one database and one simulated exchange."""

import contextlib
import json
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
from cryptography.fernet import Fernet

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT, SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.processes import Program, running_program
from tests.reader import Reader, reading
from tests.redis_server import RedisServer, running_redis

__all__ = ["Cluster", "Node", "running_cluster", "running_nodes", "tick", "tick_of"]


@dataclass
class Node:
    """One gateway process and its URL."""

    name: str
    program: Program
    url: str

    async def status(self) -> dict[str, Any]:
        """Return the node's status document."""
        async with httpx2.AsyncClient(timeout=20) as client:
            return dict((await client.get(f"{self.url}/api/v1/status")).json())

    async def ready(self) -> dict[str, Any]:
        """Return the node's readiness document; an empty one if the node does not answer."""
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(timeout=3) as client:
                return dict((await client.get(f"{self.url}/readyz")).json())
        return {}

    async def works(self) -> bool:
        """Return whether the node and all that it depends on are ready."""
        return (await self.ready()).get("status") == "ready"

    async def leads(self) -> bool:
        """Return whether the node's status says that it leads."""
        return bool((await self.status())["statistics"]["cluster"]["leads"])

    def stream(self, query: str = "timer=0", **headers: str) -> contextlib.AbstractAsyncContextManager[Reader]:
        """Open a stream of the node."""
        return reading(f"{self.url}/sse/?{query}", **headers)

    def kill(self) -> None:
        """Kill the process."""
        self.program.process.kill()

    def signal(self, sig: signal.Signals) -> None:
        """Send a signal to the process."""
        self.program.process.send_signal(sig)


@dataclass
class Cluster:
    """The nodes, and the exchange, Redis and settings that they share."""

    folder: Path
    exchange: Exchange
    redis: RedisServer
    settings: dict[str, object]
    nodes: list[Node] = field(default_factory=list)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self, name: str) -> Node:
        """Start one more node; return it when it serves."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        program = await self.stack.enter_async_context(
            running_program(folder, "serve", **{**self.settings, "node": name})
        )
        node = Node(name, program, await program.url())
        self.nodes.append(node)
        return node

    async def leader(self, among: Sequence[Node] | None = None, seconds: float = 30.0) -> Node:
        """Wait for a leader; return it."""
        with anyio.fail_after(seconds):
            while True:
                for node in among or self.nodes:
                    with contextlib.suppress(httpx2.TransportError):
                        if await node.leads():
                            return node
                await anyio.sleep(0.05)


@contextlib.asynccontextmanager
async def running_cluster(
    folder: Path,
    database_url: str,
    count: int = 2,
    accounts: Sequence[SimulatedAccount] = (DEFAULT_ACCOUNT,),
    **settings: object,
) -> AsyncIterator[Cluster]:
    """Run ``count`` nodes with a Redis and an exchange of their own; one leads."""
    async with (
        running_exchange(accounts=accounts) as exchange,
        running_redis(folder) as redis,
        running_nodes(folder, exchange, redis, count, database_url=database_url, **settings) as cluster,
    ):
        yield cluster


@contextlib.asynccontextmanager
async def running_nodes(
    folder: Path, exchange: Exchange, redis: RedisServer, count: int, **settings: object
) -> AsyncIterator[Cluster]:
    """Run ``count`` nodes with this exchange and Redis; ``settings`` may name other addresses of them."""
    shared: dict[str, object] = {
        "redis_url": redis.url,
        "secret_key": Fernet.generate_key().decode(),
        "deribit_ws_url": exchange.ws_url,
        "deribit_http_url": exchange.http_url,
        "drain_seconds": 0.2,
        "logins_per_minute": 1_000,
        "rest_units_per_second": 100_000,
    }
    async with contextlib.AsyncExitStack() as stack:
        cluster = Cluster(folder, exchange, redis, {**shared, **settings}, stack=stack)
        for number in range(count):
            await cluster.start(f"n{number}")
        await cluster.leader()
        yield cluster


async def tick(stream: Reader, ticker: str = "btc_usd", seconds: float = 30.0) -> tuple[tuple[int, int], Any]:
    """Wait for the next tick; return its place (epoch, sequence) and its data."""
    with anyio.fail_after(seconds):
        event = await stream.next(ticker)
    epoch, sequence = event.id.split("-")
    return (int(epoch), int(sequence)), json.loads(event.data)


async def tick_of(stream: Reader, epoch: int, seconds: float = 30.0) -> tuple[int, int]:
    """Wait for a tick of this or a later epoch; return its place."""
    with anyio.fail_after(seconds):
        while (place := (await tick(stream))[0])[0] < epoch:
            pass
    return place
