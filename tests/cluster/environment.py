"""A whole house: nodes on a PostgreSQL, a Redis and an exchange, each at the end of a line that can be cut or held."""

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

__all__ = ["House", "running_house"]

#: Seconds of a slot: short, so that a minute of faults has many.
INTERVAL = 2


@dataclass
class House:
    """The nodes, what they stand on, and the lines between."""

    cluster: Cluster
    postgres: Postgres
    database_url: str
    redis: TcpProxy
    database: TcpProxy
    exchange: TcpProxy
    #: How often Redis lost what it held, and nodes were started anew.
    emptied: int = 0
    started: int = 0

    async def one(self, *, leads: bool | None) -> Node:
        """A node that leads, or does not; without a wish any. Those that do not answer are no leaders."""
        asked = [(node, await _leads(node)) for node in self.cluster.nodes]
        fitting = [node for node, found in asked if leads is None or found is leads]
        return (fitting or self.cluster.nodes)[0]

    async def restart(self, node: Node) -> None:
        """Stop the node as its operator does, and start another in its place."""
        self.cluster.nodes.remove(node)
        code = await node.program.stop(seconds=60)
        assert code == 0, node.program.log
        await self.replace(node)

    async def replace(self, node: Node) -> None:
        """Start another in its place, again and again while what it needs is away, as an orchestrator does."""
        with anyio.fail_after(120):
            while True:
                self.started += 1
                with contextlib.suppress(AssertionError):
                    await self.cluster.start(f"{node.name.partition('-')[0]}-{self.started}")
                    return
                await anyio.sleep(0.5)

    def unhandled(self) -> list[str]:
        """What a node, alive or dead, said of an error that nobody had expected."""
        logs = sorted(self.cluster.folder.glob("*/*.log"))
        lines = [(log, line) for log in logs for line in log.read_text().splitlines()]
        return [
            f"{log.parent.name}: {line[:2000]}" for log, line in lines if "Traceback" in line or "exception" in line
        ]

    def addresses(self) -> list[str]:
        """Where nodes should answer now, as a front knows them."""
        return [urlsplit(node.url).netloc for node in self.cluster.nodes]


async def _leads(node: Node) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return await node.leads()
    return False


@contextlib.asynccontextmanager
async def running_house(
    folder: Path,
    nodes: int = 3,
    accounts: Sequence[SimulatedAccount] = (DEFAULT_ACCOUNT,),
    time_scale: float = 1.0,
    **settings: object,
) -> AsyncIterator[House]:
    """A cluster in which one node leads and prices flow; ``time_scale`` multiplies the exchange's rate of ticks."""
    with running_postgres() as postgres:
        url = postgres.create()
        async with (
            running_exchange(time_scale=time_scale, accounts=accounts) as exchange,
            running_redis(folder) as redis,
            tcp_proxy(redis.port) as redis_line,
            tcp_proxy(postgres.folder / ".s.PGSQL.5432") as database_line,
            tcp_proxy(exchange.port) as exchange_line,
        ):
            name = urlsplit(url).path.removeprefix("/")
            shared: dict[str, object] = {
                "database_url": f"postgresql+asyncpg://postgres@127.0.0.1:{database_line.port}/{name}",
                "redis_url": f"redis://127.0.0.1:{redis_line.port}/0",
                "deribit_ws_url": f"ws://127.0.0.1:{exchange_line.port}/ws/api/v2",
                "deribit_http_url": f"http://127.0.0.1:{exchange_line.port}/api/v2",
                "snapshot_interval": INTERVAL,
            }
            async with running_nodes(folder, exchange, redis, nodes, **{**shared, **settings}) as cluster:
                yield House(cluster, postgres, url, redis_line, database_line, exchange_line)
