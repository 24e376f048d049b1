"""Who has the account of Redis, but not the keys of the nodes, can neither make, read, repeat nor answer a request.

The intruder of these tests reads and writes everything in Redis. It can keep a request from the leader.
"""

import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from redis.asyncio import Redis

from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.refused import RefusedMessages
from cryptomarket.cluster.redis.rpc import CLAIM_SECONDS, GROUP, REPLIES, REQUESTS, RedisRpc
from cryptomarket.errors import NoLeader
from cryptomarket.persons.keyring import Keyring
from tests.processes import eventually
from tests.redis_server import running_redis

from .messages import KEYS, new_keys

SECRET = b"the balances of ada"


@dataclass
class Site:
    """A node that requests, a node that leads, and an intruder in their Redis."""

    requester: RedisRpc
    leader: RedisRpc
    intruder: Redis
    #: What the two nodes refused.
    refused: RefusedMessages
    handled: list[bytes] = field(default_factory=list)
    tasks: Any = None

    async def handle(self, body: bytes) -> bytes:
        """Handle a request as the leader does."""
        self.handled.append(body)
        return SECRET + body

    async def requests(self) -> list[dict[bytes, bytes]]:
        """Return the fields of every request in Redis."""
        found: Any = await self.intruder.xrevrange(REQUESTS)
        return [fields for _, fields in found]

    async def replies(self, node: str) -> list[bytes]:
        """Return the replies that wait for a node."""
        found: Any = self.intruder.lrange(REPLIES % node, 0, -1)
        return list(await found)

    async def reply(self, node: str, reply: bytes) -> None:
        """Send bytes to a node as if they were a reply."""
        pushed: Any = self.intruder.rpush(REPLIES % node, reply)
        await pushed


@contextlib.asynccontextmanager
async def running_site(folder: Path, *, fetch: bool = True, keys: Keyring = KEYS) -> AsyncIterator[Site]:
    """A site whose leader does not serve yet; without ``fetch`` the replies stay in Redis."""
    async with (
        running_redis(folder) as server,
        redis_client(server.url) as first,
        redis_client(server.url) as second,
        redis_client(server.url) as third,
        anyio.create_task_group() as tasks,
    ):
        refused = RefusedMessages()
        requester = RedisRpc(first, "a", keys, refused=refused)
        leader = RedisRpc(second, "b", KEYS, refused=refused)
        site = Site(requester, leader, third, refused, tasks=tasks)
        if fetch:
            await tasks.start(requester.run)
        yield site
        tasks.cancel_scope.cancel()


def start(site: Site, body: bytes, seconds: float = 60) -> list[bytes]:
    """Begin a request; return the list into which its reply is put."""
    replies: list[bytes] = []

    async def request() -> None:
        with contextlib.suppress(NoLeader):
            replies.append(await site.requester.request(body, seconds=seconds))

    site.tasks.start_soon(request)
    return replies


async def test_requests_and_replies_cannot_be_read(tmp_path: Path) -> None:
    """Neither what a node requests for a person, nor what the leader answers."""
    async with running_site(tmp_path, fetch=False) as site:
        start(site, b"account of person 7")
        await eventually_true(site.requests, "the request")
        (request,) = await site.requests()
        await site.tasks.start(site.leader.serve, site.handle)
        await eventually_true(lambda: site.replies("a"), "the reply")
        (reply,) = await site.replies("a")
        assert site.handled == [b"account of person 7"]
        for body in (b"account of person 7", SECRET + b"account of person 7"):
            for readable in (body, b64encode(body)):
                assert readable not in request[b"e"] + reply


async def test_a_request_cannot_be_forged(tmp_path: Path) -> None:
    """Whatever the intruder puts into the stream is refused, also a request of an earlier version."""
    async with running_site(tmp_path) as site:
        await site.tasks.start(site.leader.serve, site.handle)
        plain = msgspec.json.encode(("intruder", "1", 4e9, b'{"kind":"account","person_id":"7"}'))
        purpose = site.leader._sealed_request
        sealed = [new_keys().seal(purpose, plain), KEYS.seal(site.leader._sealed_reply, plain)]
        entries: list[dict[str, bytes]] = [{"e": one} for one in (plain, b"", b"x" * 2**21, *sealed)]
        for entry in [*entries, {"f": b"junk"}]:
            await site.intruder.xadd(REQUESTS, entry)  # type: ignore[arg-type]
        assert await site.requester.request(b"true", seconds=60) == SECRET + b"true"
        assert site.handled == [b"true"]
        assert site.refused.counts == {"signature": len(entries) + 1}
        await eventually_true(lambda: empty(site.intruder), "all are deleted")
        assert await site.replies("intruder") == []


async def test_a_request_counts_once(tmp_path: Path) -> None:
    """Copies are refused while the leader handles it and after that."""
    taken, go_on = anyio.Event(), anyio.Event()
    async with running_site(tmp_path) as site:

        async def slowly(body: bytes) -> bytes:
            taken.set()
            await go_on.wait()
            return await site.handle(body)

        replies = start(site, b"request")
        await eventually_true(site.requests, "the request")
        (copied,) = await site.requests()
        await site.tasks.start(site.leader.serve, slowly)
        with anyio.fail_after(60):
            await taken.wait()
        await site.intruder.xadd(REQUESTS, copied)  # type: ignore[arg-type]
        await eventually(lambda: site.refused.counts["repeated"] == 1, "a copy while it is handled", 60)
        go_on.set()
        await eventually(lambda: replies == [SECRET + b"request"], "the reply", 60)
        await site.intruder.xadd(REQUESTS, copied)  # type: ignore[arg-type]
        await eventually(lambda: site.refused.counts["repeated"] == 2, "a copy after that", 60)
        assert site.handled == [b"request"]


async def test_a_late_copy_of_a_request_is_refused_by_the_next_leader(tmp_path: Path) -> None:
    """It knows no request of the one before, but the deadline is inside."""
    async with running_site(tmp_path) as site:
        start(site, b"request", seconds=0.5)
        await eventually_true(site.requests, "the request")
        copied = await site.requests()
        await anyio.sleep(0.6)
        await site.tasks.start(site.leader.serve, site.handle)
        for fields in copied:
            await site.intruder.xadd(REQUESTS, fields)  # type: ignore[arg-type]
        await eventually(lambda: site.refused.counts["time"] == 2, "both are refused", 60)
        assert site.handled == []


async def test_a_rival_consumer_delays_a_request_at_worst(tmp_path: Path) -> None:
    """It takes the request, cannot use it or answer it, and the leader handles it after a while."""
    async with running_site(tmp_path) as site:
        await site.intruder.xgroup_create(REQUESTS, GROUP, id="0", mkstream=True)
        replies = start(site, b"log in with the secret of ada")
        found: Any = None
        with anyio.fail_after(60):
            while not found:
                found = await site.intruder.xreadgroup(GROUP, "rival", {REQUESTS: ">"})
        (_, ((_, fields),)) = found[0]
        assert b"ada" not in fields[b"e"]
        for forged in (b"junk", fields[b"e"], new_keys().seal(site.leader._sealed_reply, b'["a","1","eA=="]')):
            await site.reply("a", forged)
        site.tasks.start_soon(site.leader.serve, site.handle)
        await eventually(lambda: bool(replies), "the leader claims it", CLAIM_SECONDS + 60)
        assert replies == [SECRET + b"log in with the secret of ada"]
        assert site.refused.counts == {"signature": 3}


async def test_a_reply_answers_its_own_request_only(tmp_path: Path) -> None:
    """The reply to one request, sent again, does not answer another one."""
    async with running_site(tmp_path, fetch=False) as site:
        first = start(site, b"first")
        async with anyio.create_task_group() as leading:
            await leading.start(site.leader.serve, site.handle)
            await eventually_true(lambda: site.replies("a"), "the first reply")
            leading.cancel_scope.cancel()
        (reply,) = await site.replies("a")
        await site.tasks.start(site.requester.run)
        await eventually(lambda: bool(first), "it is fetched", 60)
        second = start(site, b"second")
        await eventually_true(site.requests, "the second request")
        for _ in range(5):
            await site.reply("a", reply)
        await eventually_true(lambda: fetched(site), "the copies are fetched")
        assert second == []
        await site.tasks.start(site.leader.serve, site.handle)
        await eventually(lambda: second == [SECRET + b"second"], "the true reply", 60)


async def test_a_node_with_another_key_gets_no_reply(tmp_path: Path) -> None:
    """The leader refuses its requests and does not crash; the node says that there is no leader."""
    async with running_site(tmp_path, keys=new_keys()) as site:
        await site.tasks.start(site.leader.serve, site.handle)
        with pytest.raises(NoLeader):
            await site.requester.request(b"request", seconds=0.5)
        assert (site.handled, site.refused.counts["signature"]) == ([], 1)
        assert site.refused.keys_differ()


# Waiting for Redis


async def eventually_true(found: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until the command finds something."""
    with anyio.fail_after(60):
        while not await found():
            await anyio.sleep(0.01)
    assert what


async def empty(redis: Redis) -> bool:
    """Return whether no request is left."""
    return not await redis.xlen(REQUESTS)


async def fetched(site: Site) -> bool:
    """Return whether no reply waits for the requester."""
    return not await site.replies("a")
