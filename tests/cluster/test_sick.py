"""What the nodes depend on is there and sick: full, read-only, busy, emptied, out of connections, hung."""

import collections
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from redis import RedisError
from redis.asyncio import Redis

from cryptomarket.cluster.redis.catch_up import LATEST
from cryptomarket.cluster.redis.codec import decode_tick
from tests.persons.site import ADA
from tests.processes import eventually

from .nodes import Cluster, Node, running_cluster

pytestmark = pytest.mark.system

INTERVAL = 1
ACCOUNT = {"client_id": ADA.client_id, "client_secret": ADA.client_secret}


@dataclass
class Tab:
    """One stream of a node, read without a pause: the places of its ticks, and what the connection channel said."""

    node: Node
    cookie: str
    places: list[tuple[int, int]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)

    async def run(self) -> None:
        """Read until cancelled."""
        async with self.node.stream("timer=0&channels=btc_usd", cookie=self.cookie) as stream:
            while True:
                event = await stream.event()
                if event.event == "btc_usd":
                    epoch, sequence = event.id.split("-")
                    self.places.append((int(epoch), int(sequence)))
                elif event.event == "connection":
                    self.said.append(json.loads(event.data))

    def kinds(self, since: int = 0) -> list[str]:
        """What was said since then: the kind, of an upstream its state."""
        return [one["state"] if one["kind"] == "upstream" else one["kind"] for one in self.said[since:]]


@dataclass
class House:
    """Two nodes, a browser, and a tab of it on each."""

    cluster: Cluster
    client: httpx2.AsyncClient
    tabs: list[Tab]

    async def ticks(self, tabs: list[Tab] | None = None, count: int = 2) -> None:
        """Wait until so many more ticks came to each tab."""
        watched = self.tabs if tabs is None else tabs
        before = [len(tab.places) for tab in watched]
        await eventually(
            lambda: all(len(tab.places) >= had + count for tab, had in zip(watched, before, strict=True)), "ticks flow"
        )

    async def get(self, node: Node, path: str) -> httpx2.Response:
        """The answer of one node."""
        return await self.client.get(node.url + path)

    async def check(self, name: str, ok: bool) -> None:
        """Wait until every node says of a dependency that it works, or that it does not."""
        with anyio.fail_after(60):
            for node in self.cluster.nodes:
                while (await self.get(node, "/readyz")).json()["checks"][name]["ok"] is not ok:
                    await anyio.sleep(0.05)

    async def problems(self, path: str) -> None:
        """Every node refuses with 503 and a problem document."""
        for node in self.cluster.nodes:
            refused(await self.get(node, path))

    async def answers(self, path: str, status: int) -> None:
        """Every node answers so; a busy machine may make a dependency late, which is said with 503."""
        with anyio.fail_after(60):
            for node in self.cluster.nodes:
                while (answer := await self.get(node, path)).status_code == 503:
                    await anyio.sleep(0.1)
                assert answer.status_code == status, answer.text

    async def known(self) -> None:
        """Every node knows the person."""
        await self.answers("/api/v1/persons/me", 200)

    async def post(self, node: Node) -> httpx2.Response:
        """Ask for a log-in."""
        return await self.client.post(f"{node.url}/api/v1/persons/login", json=ACCOUNT)

    async def log_in(self, node: Node) -> None:
        """Log in, as the leader's tab is told."""
        before = [len(tab.said) for tab in self.tabs]
        with anyio.fail_after(60):
            while (answer := await self.post(node)).status_code == 503:
                await anyio.sleep(0.1)
        assert answer.status_code == 202, answer.text
        tabs = list(zip(self.tabs, before, strict=True))
        await eventually(lambda: any("person" in tab.kinds(since) for tab, since in tabs), "the person is told")
        await self.known()

    def quiet(self, changes: int = 1) -> None:
        """No log holds a traceback, or an error more often than its state can have changed."""
        for node in self.cluster.nodes:
            log = node.program.log
            assert "Traceback" not in log, log
            assert '"exception"' not in log, log
            lines = [json.loads(line) for line in log.splitlines()]
            errors = collections.Counter(one["event"] for one in lines if one["level"] in ("error", "critical"))
            assert all(count <= changes for count in errors.values()), log
            assert ADA.client_secret not in log


def refused(answer: httpx2.Response) -> None:
    """A problem document that says: later."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry-after" in answer.headers


@contextlib.asynccontextmanager
async def sick_house(folder: Path, database_url: str) -> AsyncIterator[House]:
    """Two nodes with somebody logged in on both, who has a tab on each."""
    async with (
        running_cluster(folder, database_url, accounts=(ADA,), snapshot_interval=INTERVAL) as cluster,
        httpx2.AsyncClient(timeout=60) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.get(f"{cluster.nodes[0].url}/")
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        house = House(cluster, client, [Tab(node, cookie) for node in cluster.nodes])
        for tab in house.tabs:
            tasks.start_soon(tab.run)
        await house.ticks(count=1)
        await house.log_in(cluster.nodes[0])
        yield house
        tasks.cancel_scope.cancel()


async def leader_and_follower(house: House) -> tuple[Tab, Tab]:
    """The tab of the leader, and the other."""
    leader = await house.cluster.leader()
    near, far = sorted(house.tabs, key=lambda tab: tab.node is not leader)
    return near, far


async def on_board(redis: Redis) -> tuple[int, int]:
    """The place of the newest tick that Redis keeps."""
    data = (await redis.hgetall(LATEST)).get(b"btc_usd")
    tick = decode_tick(data) if data else None
    return (tick.epoch, tick.sequence) if tick else (0, 0)


async def takes_no_writes(house: House, redis: Redis, *sick: object, well: tuple[object, ...]) -> None:
    """Between two commands: ticks flow everywhere, nobody is logged out, log-ins answer 503; then all is whole."""
    before = [len(tab.said) for tab in house.tabs]
    await redis.execute_command(*sick)
    await house.check("redis", False)
    stands = await on_board(redis)
    await house.ticks()
    assert await on_board(redis) == stands
    await house.known()
    for node in house.cluster.nodes:
        refused(await house.post(node))
    await redis.execute_command(*well)
    await house.log_in(house.cluster.nodes[1])
    said = [tab.said[since:] for tab, since in zip(house.tabs, before, strict=True)]
    assert not {"logged_out", "login_failed"} & {one["kind"] for of_tab in said for one in of_tab}, said
    with anyio.fail_after(60):
        while await on_board(redis) <= stands:
            await anyio.sleep(0.05)
    await house.check("redis", True)


async def test_a_redis_that_takes_no_writes_stops_no_price(tmp_path: Path) -> None:
    """Full, then read-only: ticks reach every node all the same, the known stay known, and each state is said once."""
    async with sick_house(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as house:
        near, _ = await leader_and_follower(house)
        async with Redis.from_url(house.cluster.redis.url) as redis:
            full = ("CONFIG", "SET", "maxmemory", "1")
            await takes_no_writes(house, redis, *full, well=("CONFIG", "SET", "maxmemory", "0"))
            await takes_no_writes(house, redis, "REPLICAOF", "127.0.0.1", "1", well=("REPLICAOF", "NO", "ONE"))
        program = near.node.program
        await eventually(lambda: program.log.count("redis accepts writes again") == 2, "the second end is said")
        assert program.log.count("redis refuses writes") == 2
        lost = [line for line in program.log.splitlines() if "redis unavailable" in line]
        assert not [line for line in lost if "OutOfMemoryError" in line or "ReadOnlyError" in line]
        house.quiet()


async def test_a_busy_redis_and_one_that_comes_back_empty(tmp_path: Path) -> None:
    """Busy: as if it were away, and all is back after it. Empty: nobody is known, and everybody can log in at once."""
    async with sick_house(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as house:
        near, far = await leader_and_follower(house)
        async with Redis.from_url(house.cluster.redis.url) as redis, anyio.create_task_group() as tasks:
            await redis.config_set("busy-reply-threshold", 50)
            tasks.start_soon(endless, house.cluster.redis.url)
            await house.check("redis", False)
            await house.problems("/api/v1/persons/me")
            await eventually(lambda: "stale" in far.kinds(), "the follower says that prices are stale")
            await house.ticks([near])
            await redis.execute_command("SCRIPT", "KILL")
        await house.ticks()
        await house.known()
        assert not {"logged_out", "login_failed"} & {*near.kinds(), *far.kinds()}

        await house.cluster.redis.kill()
        await house.cluster.redis.start()
        await house.check("redis", True)
        await house.ticks(count=3)  # the nodes hear each other again
        await house.answers("/api/v1/persons/me", 401)
        await house.log_in(far.node)
        await house.known()
        await house.ticks()
        house.quiet()


async def endless(url: str) -> None:
    """A script that ends when it is killed."""
    async with Redis.from_url(url, socket_timeout=120) as redis:
        with contextlib.suppress(RedisError):
            await redis.eval("while true do end", 0)
