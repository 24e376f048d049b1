"""Requests through a real Redis: handled once by the leader, and by the next one when a leader dies."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.rpc import RedisRpc
from cryptomarket.errors import CacheUnavailable, NoLeader
from tests.processes import eventually
from tests.redis_server import RedisServer, running_redis

from .messages import KEYS


@contextlib.asynccontextmanager
async def two_nodes(folder: Path) -> AsyncIterator[tuple[RedisServer, RedisRpc, RedisRpc]]:
    """Two nodes on one Redis, each with its own connections; both fetch their replies."""
    async with (
        running_redis(folder) as server,
        redis_client(server.url) as first,
        redis_client(server.url) as second,
        anyio.create_task_group() as tasks,
    ):
        pair = RedisRpc(first, "a", KEYS), RedisRpc(second, "b", KEYS)
        for rpc in pair:
            await tasks.start(rpc.run)
        yield server, *pair
        tasks.cancel_scope.cancel()


async def upper(body: bytes) -> bytes:
    return body.upper()


async def test_the_leader_handles_each_request_of_another_node_once(tmp_path: Path) -> None:
    """Many requests at once each get their own reply."""
    handled: list[bytes] = []

    async def handle(body: bytes) -> bytes:
        handled.append(body)
        return body.upper()

    async with two_nodes(tmp_path) as (_, requester, leader), anyio.create_task_group() as tasks:
        await tasks.start(leader.serve, handle)
        replies: dict[bytes, bytes] = {}

        async def request(body: bytes) -> None:
            replies[body] = await requester.request(body, seconds=60)

        async with anyio.create_task_group() as requests:
            for number in range(50):
                requests.start_soon(request, b"request-%d" % number)
        assert replies == {body: body.upper() for body in handled}
        assert len(handled) == len(set(handled)) == 50
        tasks.cancel_scope.cancel()


async def test_the_next_leader_handles_the_request_of_a_dead_one(tmp_path: Path) -> None:
    """A request that was taken and never answered is claimed."""
    taken = anyio.Event()

    async def die(_: bytes) -> bytes:
        taken.set()
        await anyio.sleep_forever()
        raise AssertionError

    async with two_nodes(tmp_path) as (_, requester, leader), anyio.create_task_group() as tasks:
        replies: list[bytes] = []

        async def request() -> None:
            replies.append(await requester.request(b"request", seconds=60))

        tasks.start_soon(request)
        async with anyio.create_task_group() as first:
            await first.start(leader.serve, die)
            await taken.wait()
            first.cancel_scope.cancel()
        await tasks.start(requester.serve, upper)
        await eventually(lambda: replies == [b"REQUEST"], "the second leader replies", 60)
        tasks.cancel_scope.cancel()


async def test_a_leader_that_finishes_completes_the_requests_in_progress(tmp_path: Path) -> None:
    """It replies to the request it has taken; the next request waits for the next leader."""
    taken, go_on = anyio.Event(), anyio.Event()

    async def slowly(body: bytes) -> bytes:
        taken.set()
        await go_on.wait()
        return body.upper()

    async def title(body: bytes) -> bytes:
        return body.title()

    async with two_nodes(tmp_path) as (_, requester, leader), anyio.create_task_group() as tasks:
        replies: list[bytes] = []

        async def request(body: bytes) -> None:
            replies.append(await requester.request(body, seconds=60))

        tasks.start_soon(leader.serve, slowly)
        tasks.start_soon(request, b"first")
        with anyio.fail_after(60):
            await taken.wait()
            async with anyio.create_task_group() as finishing:
                finishing.start_soon(leader.finish)
                await anyio.wait_all_tasks_blocked()
                go_on.set()
        tasks.start_soon(request, b"second")
        await eventually(lambda: replies == [b"FIRST"], "the first has its reply", 60)
        await tasks.start(requester.serve, title)
        await eventually(lambda: replies == [b"FIRST", b"Second"], "the next leader handles the second", 60)
        tasks.cancel_scope.cancel()


async def test_a_request_without_a_leader_fails_in_its_time(tmp_path: Path) -> None:
    """Without Redis it fails at once, with another error."""
    async with two_nodes(tmp_path) as (server, requester, _):
        with pytest.raises(NoLeader):
            await requester.request(b"request", seconds=0.3)
        await server.kill()
        with pytest.raises(CacheUnavailable):
            await requester.request(b"request", seconds=60)
