"""Nodes as operators run them: gateway processes on one Redis and one database, beside one simulated exchange."""

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
    """One gateway process and where it answers."""

    name: str
    program: Program
    url: str

    async def status(self) -> dict[str, Any]:
        """What the node says of itself."""
        async with httpx2.AsyncClient(timeout=20) as client:
            return dict((await client.get(f"{self.url}/api/v1/status")).json())

    async def ready(self) -> dict[str, Any]:
        """What the node says of all that it depends on; nothing when it does not answer."""
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(timeout=3) as client:
                return dict((await client.get(f"{self.url}/readyz")).json())
        return {}

    async def works(self) -> bool:
        """Whether nothing at all is missing."""
        return (await self.ready()).get("status") == "ready"

    async def leads(self) -> bool:
        """Whether the node leads, as it says itself."""
        return bool((await self.status())["statistics"]["cluster"]["leads"])

    def stream(self, query: str = "timer=0", **headers: str) -> contextlib.AbstractAsyncContextManager[Reader]:
        """A stream of the node."""
        return reading(f"{self.url}/sse/?{query}", **headers)

    def kill(self) -> None:
        """End it at once."""
        self.program.process.kill()

    def signal(self, sig: signal.Signals) -> None:
        """Send it a signal."""
        self.program.process.send_signal(sig)


@dataclass
class Cluster:
    """The nodes and what they share."""

    folder: Path
    exchange: Exchange
    redis: RedisServer
    settings: dict[str, object]
    nodes: list[Node] = field(default_factory=list)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self, name: str) -> Node:
        """One more node, serving."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        program = await self.stack.enter_async_context(
            running_program(folder, "serve", **{**self.settings, "node": name})
        )
        node = Node(name, program, await program.url())
        self.nodes.append(node)
        return node

    async def leader(self, among: Sequence[Node] | None = None, seconds: float = 30.0) -> Node:
        """The node that leads, once one does."""
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
    """So many nodes, of which one leads and prices flow."""
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
    """So many nodes beside an exchange and a Redis, which the settings may lead to by a way of their own."""
    shared: dict[str, object] = {
        "redis_url": redis.url,
        "secret_key": Fernet.generate_key().decode(),
        "deribit_ws_url": exchange.ws_url,
        "deribit_http_url": exchange.http_url,
        "drain_seconds": 0.2,
        "logins_per_minute": 1_000,
    }
    async with contextlib.AsyncExitStack() as stack:
        cluster = Cluster(folder, exchange, redis, {**shared, **settings}, stack=stack)
        for number in range(count):
            await cluster.start(f"n{number}")
        await cluster.leader()
        yield cluster


async def tick(stream: Reader, ticker: str = "btc_usd", seconds: float = 30.0) -> tuple[tuple[int, int], Any]:
    """The place (epoch, sequence) and the data of the next tick."""
    with anyio.fail_after(seconds):
        event = await stream.next(ticker)
    epoch, sequence = event.id.split("-")
    return (int(epoch), int(sequence)), json.loads(event.data)


async def tick_of(stream: Reader, epoch: int, seconds: float = 30.0) -> tuple[int, int]:
    """The place of the next tick of an epoch at least as high."""
    with anyio.fail_after(seconds):
        while (place := (await tick(stream))[0])[0] < epoch:
            pass
    return place
