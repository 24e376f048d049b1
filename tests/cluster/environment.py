"""A cluster of nodes with PostgreSQL, Redis and an exchange, each behind a proxy that can cut or hold connections."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT, SimulatedAccount
from cryptomarket.simulator.exchange import running_exchange
from tests.databases import Postgres, running_postgres
from tests.redis_server import running_redis
from tests.tcp_proxy import TcpProxy, tcp_proxy

from .nodes import Cluster, Node, running_nodes

__all__ = ["ClusterEnvironment", "running_environment"]

#: Seconds of a slot. They are few, so that a minute of faults has many slots.
INTERVAL = 2


@dataclass
class ClusterEnvironment:
    """The nodes, the servers that they use, and the proxies between."""

    cluster: Cluster
    postgres: Postgres
    database_url: str
    redis: TcpProxy
    database: TcpProxy
    exchange: TcpProxy
    #: How often Redis lost its data, and how often a node was started to replace another.
    redis_emptied: int = 0
    nodes_started: int = 0

    async def node(self, *, leads: bool | None) -> Node:
        """Return a node that leads or one that does not; for None any. A node without an answer does not lead."""
        states = [(node, await _leads(node)) for node in self.cluster.nodes]
        matching = [node for node, state in states if leads is None or state is leads]
        return (matching or self.cluster.nodes)[0]

    async def restart(self, node: Node) -> None:
        """Stop the node with SIGTERM, and start another in its place."""
        self.cluster.nodes.remove(node)
        code = await node.program.stop(seconds=60)
        assert code == 0, node.program.log
        await self.replace(node)

    async def replace(self, node: Node) -> None:
        """Start another node in its place; like an orchestrator, try again while a server is unavailable."""
        with anyio.fail_after(120):
            while True:
                self.nodes_started += 1
                with contextlib.suppress(AssertionError):
                    await self.cluster.start(f"{node.name.partition('-')[0]}-{self.nodes_started}")
                    return
                await anyio.sleep(0.5)

    def unhandled(self) -> list[str]:
        """Return the log lines of unhandled exceptions of all nodes, running or not."""
        logs = sorted(self.cluster.folder.glob("*/*.log"))
        lines = [(log, line) for log in logs for line in log.read_text().splitlines()]
        return [
            f"{log.parent.name}: {line[:2000]}" for log, line in lines if "Traceback" in line or "exception" in line
        ]

    def addresses(self) -> list[str]:
        """Return the addresses of all nodes, as a load balancer knows them."""
        return [urlsplit(node.url).netloc for node in self.cluster.nodes]


async def _leads(node: Node) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return await node.leads()
    return False


@contextlib.asynccontextmanager
async def running_environment(
    folder: Path,
    nodes: int = 3,
    accounts: Sequence[SimulatedAccount] = (DEFAULT_ACCOUNT,),
    time_scale: float = 1.0,
    **settings: object,
) -> AsyncIterator[ClusterEnvironment]:
    """Run a cluster with a leader and live prices; ``time_scale`` multiplies the exchange's rate of ticks."""
    with running_postgres() as postgres:
        url = postgres.create()
        async with (
            running_exchange(time_scale=time_scale, accounts=accounts) as exchange,
            running_redis(folder) as redis,
            tcp_proxy(redis.port) as redis_proxy,
            tcp_proxy(postgres.folder / ".s.PGSQL.5432") as database_proxy,
            tcp_proxy(exchange.port) as exchange_proxy,
        ):
            name = urlsplit(url).path.removeprefix("/")
            shared: dict[str, object] = {
                "database_url": f"postgresql+asyncpg://postgres@127.0.0.1:{database_proxy.port}/{name}",
                "redis_url": f"redis://127.0.0.1:{redis_proxy.port}/0",
                "deribit_ws_url": f"ws://127.0.0.1:{exchange_proxy.port}/ws/api/v2",
                "deribit_http_url": f"http://127.0.0.1:{exchange_proxy.port}/api/v2",
                "snapshot_interval": INTERVAL,
            }
            async with running_nodes(folder, exchange, redis, nodes, **{**shared, **settings}) as cluster:
                yield ClusterEnvironment(cluster, postgres, url, redis_proxy, database_proxy, exchange_proxy)
