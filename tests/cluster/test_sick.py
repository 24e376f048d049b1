"""Nodes with a Redis that is full, read-only, busy or emptied."""

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
from cryptomarket.cluster.redis.signer import MAC_BYTES
from tests.persons.site import ADA
from tests.processes import eventually

from .nodes import Cluster, Node, running_cluster

pytestmark = pytest.mark.system

INTERVAL = 1
ACCOUNT = {"client_id": ADA.client_id, "client_secret": ADA.client_secret}


@dataclass
class Tab:
    """One stream of a node, read in the background: the places of its ticks, and its connection events."""

    node: Node
    cookie: str
    places: list[tuple[int, int]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    opened: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def run(self) -> None:
        """Read until cancelled, again when the cookie changes."""
        while True:
            with anyio.CancelScope() as self.opened:
                await self._read()

    def follow(self, cookie: str) -> None:
        """Reopen the stream with another cookie, as a page does."""
        self.cookie = cookie
        self.opened.cancel()

    async def _read(self) -> None:
        async with self.node.stream("timer=0&channels=btc_usd", cookie=self.cookie) as stream:
            while True:
                event = await stream.event()
                if event.event == "btc_usd":
                    epoch, sequence = event.id.split("-")
                    self.places.append((int(epoch), int(sequence)))
                elif event.event == "connection":
                    self.events.append(json.loads(event.data))

    def kinds(self, since: int = 0) -> list[str]:
        """Return the kinds of the connection events from index ``since`` on; of an upstream event the state."""
        return [one["state"] if one["kind"] == "upstream" else one["kind"] for one in self.events[since:]]


@dataclass
class WatchedCluster:
    """Two nodes, and a browser with a tab at each."""

    cluster: Cluster
    client: httpx2.AsyncClient
    tabs: list[Tab]

    async def ticks(self, tabs: list[Tab] | None = None, count: int = 2) -> None:
        """Wait until ``count`` more ticks have arrived at each tab."""
        tabs = self.tabs if tabs is None else tabs
        before = [len(tab.places) for tab in tabs]
        await eventually(
            lambda: all(len(tab.places) >= had + count for tab, had in zip(tabs, before, strict=True)), "ticks flow"
        )

    async def get(self, node: Node, path: str) -> httpx2.Response:
        """Send a request to one node."""
        return await self.client.get(node.url + path)

    async def check(self, name: str, ok: bool) -> None:
        """Wait until every node reports the dependency as ``ok`` or not."""
        with anyio.fail_after(60):
            for node in self.cluster.nodes:
                while (await self.get(node, "/readyz")).json()["checks"][name]["ok"] is not ok:
                    await anyio.sleep(0.05)

    async def problems(self, path: str) -> None:
        """Assert that every node refuses the request with 503 and a problem document."""
        for node in self.cluster.nodes:
            refused(await self.get(node, path))

    async def answers(self, path: str, status: int) -> None:
        """Assert that every node answers with the status; 503 is retried, because a dependency may be late."""
        with anyio.fail_after(60):
            for node in self.cluster.nodes:
                while (answer := await self.get(node, path)).status_code == 503:
                    await anyio.sleep(0.1)
                assert answer.status_code == status, answer.text

    async def known(self) -> None:
        """Assert that every node knows the person."""
        await self.answers("/api/v1/persons/me", 200)

    async def post(self, node: Node) -> httpx2.Response:
        """Post a login."""
        return await self.client.post(f"{node.url}/api/v1/persons/login", json=ACCOUNT)

    async def log_in(self, node: Node) -> None:
        """Log in, and wait for the event of the person on a tab."""
        before = [len(tab.events) for tab in self.tabs]
        with anyio.fail_after(60):
            while (answer := await self.post(node)).status_code == 503:
                await anyio.sleep(0.1)
        assert answer.status_code == 202, answer.text
        for tab in self.tabs:
            tab.follow("; ".join(f"{name}={value}" for name, value in self.client.cookies.items()))
        tabs = list(zip(self.tabs, before, strict=True))
        await eventually(lambda: any("person" in tab.kinds(since) for tab, since in tabs), "the event of the person")
        await self.known()

    def quiet(self, changes: int = 1) -> None:
        """Assert that no log has a traceback, the secret, or more than ``changes`` lines of one error."""
        for node in self.cluster.nodes:
            log = node.program.log
            assert "Traceback" not in log, log
            assert '"exception"' not in log, log
            lines = [json.loads(line) for line in log.splitlines()]
            errors = collections.Counter(one["event"] for one in lines if one["level"] in ("error", "critical"))
            assert all(count <= changes for count in errors.values()), log
            assert ADA.client_secret not in log


def refused(answer: httpx2.Response) -> None:
    """Assert that this is a 503 problem document with Retry-After."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry-after" in answer.headers


@contextlib.asynccontextmanager
async def watched_cluster(folder: Path, database_url: str) -> AsyncIterator[WatchedCluster]:
    """Run two nodes with a logged-in browser."""
    async with (
        running_cluster(folder, database_url, accounts=(ADA,), snapshot_interval=INTERVAL) as cluster,
        httpx2.AsyncClient(timeout=60) as client,
        anyio.create_task_group() as tasks,
    ):
        await client.get(f"{cluster.nodes[0].url}/")
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        watched = WatchedCluster(cluster, client, [Tab(node, cookie) for node in cluster.nodes])
        for tab in watched.tabs:
            tasks.start_soon(tab.run)
        await watched.ticks(count=1)
        await watched.log_in(cluster.nodes[0])
        yield watched
        tasks.cancel_scope.cancel()


async def leader_and_follower(watched: WatchedCluster) -> tuple[Tab, Tab]:
    """Return the tab at the leader, and the other one."""
    leader = await watched.cluster.leader()
    near, far = sorted(watched.tabs, key=lambda tab: tab.node is not leader)
    return near, far


async def latest_in_redis(redis: Redis) -> tuple[int, int]:
    """Return the place of the newest tick in Redis."""
    message = (await redis.hgetall(LATEST)).get(b"btc_usd")
    tick = decode_tick(message[MAC_BYTES:]) if message else None
    return (tick.epoch, tick.sequence) if tick else (0, 0)


async def refuse_writes(watched: WatchedCluster, redis: Redis, *sick: object, well: tuple[object, ...]) -> None:
    """Check the nodes while Redis refuses writes: between the commands ``sick`` and ``well``, and afterwards."""
    before = [len(tab.events) for tab in watched.tabs]
    await redis.execute_command(*sick)
    await watched.check("redis", False)
    place = await latest_in_redis(redis)
    await watched.ticks()
    assert await latest_in_redis(redis) == place
    await watched.known()
    for node in watched.cluster.nodes:
        refused(await watched.post(node))
    await redis.execute_command(*well)
    new = [tab.events[since:] for tab, since in zip(watched.tabs, before, strict=True)]
    assert not {"logged_out", "login_failed"} & {one["kind"] for of_tab in new for one in of_tab}, new
    await watched.log_in(watched.cluster.nodes[1])  # which ends the login of the cookie before
    with anyio.fail_after(60):
        while await latest_in_redis(redis) <= place:
            await anyio.sleep(0.05)
    await watched.check("redis", True)


async def test_ticks_flow_while_redis_refuses_writes(tmp_path: Path) -> None:
    """With a full or read-only Redis ticks flow, and persons stay logged in; each change is logged once."""
    async with watched_cluster(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as watched:
        near, _ = await leader_and_follower(watched)
        async with Redis.from_url(watched.cluster.redis.url) as redis:
            full = ("CONFIG", "SET", "maxmemory", "1")
            await refuse_writes(watched, redis, *full, well=("CONFIG", "SET", "maxmemory", "0"))
            await refuse_writes(watched, redis, "REPLICAOF", "127.0.0.1", "1", well=("REPLICAOF", "NO", "ONE"))
        program = near.node.program
        await eventually(lambda: program.log.count("redis accepts writes again") == 2, "the second recovery is logged")
        assert program.log.count("redis refuses writes") == 2
        lost = [line for line in program.log.splitlines() if "redis unavailable" in line]
        assert not [line for line in lost if "OutOfMemoryError" in line or "ReadOnlyError" in line]
        watched.quiet()


async def test_a_busy_redis_and_one_that_comes_back_empty(tmp_path: Path) -> None:
    """A busy Redis counts as unavailable, and logs nobody out; after an empty one persons can log in at once."""
    async with watched_cluster(tmp_path, f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as watched:
        near, far = await leader_and_follower(watched)
        async with Redis.from_url(watched.cluster.redis.url) as redis, anyio.create_task_group() as tasks:
            await redis.config_set("busy-reply-threshold", 50)
            tasks.start_soon(endless, watched.cluster.redis.url)
            await watched.check("redis", False)
            await watched.problems("/api/v1/persons/me")
            await eventually(lambda: "stale" in far.kinds(), "the follower reports stale prices")
            await watched.ticks([near])
            await redis.execute_command("SCRIPT", "KILL")
        await watched.ticks()
        await watched.known()
        assert not {"logged_out", "login_failed"} & {*near.kinds(), *far.kinds()}

        await watched.cluster.redis.kill()
        await watched.cluster.redis.start()
        await watched.check("redis", True)
        await watched.ticks(count=3)  # the nodes receive each other's messages again
        await watched.answers("/api/v1/persons/me", 401)
        await watched.log_in(far.node)
        await watched.known()
        await watched.ticks()
        watched.quiet()


async def endless(url: str) -> None:
    """Run a script that ends when it is killed."""
    async with Redis.from_url(url, socket_timeout=120) as redis:
        with contextlib.suppress(RedisError):
            await redis.eval("while true do end", 0)
