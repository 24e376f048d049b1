"""Requests from any node to the leader, through Redis.

A request waits in a stream until the leader has replied. One that a dying leader took stays pending in the stream: the
next leader claims it and handles it again, or the requester's time runs out. Replies go to a list of the requester. A
request holds no secret, only the name under which one is stored.
"""

import contextlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from redis import RedisError, ResponseError
from redis.asyncio import Redis

from ...errors import CacheUnavailable, NoLeader
from ..cluster import MAX_CONCURRENT_REQUESTS, Handler
from .client import BLOCK_SECONDS, COMMAND_SECONDS, with_fresh_connection

__all__ = ["RedisRpc"]

log = structlog.get_logger(__name__)

REQUESTS, GROUP, REPLIES = "cryptomarket:errands", "leader", "cryptomarket:answers:%s"
#: A leader that has not replied for so long is gone; another handles its requests.
CLAIM_SECONDS = 4.0
MAX_REQUESTS = 10_000
RETRY_SECONDS = 0.5
REPLY_EXPIRE_SECONDS = 30

#: An entry of the stream: its id and its fields.
Entry = tuple[bytes, dict[bytes, bytes]]


class _Request(msgspec.Struct, array_like=True):
    node: str
    number: str
    until: float
    body: bytes


class _Reply(msgspec.Struct, array_like=True):
    number: str
    body: bytes


class RedisRpc:
    """Requests and replies of one node; see Cluster."""

    def __init__(self, redis: Redis, node: str, *, wall: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._node = node
        self._wall = wall
        self._waiting: dict[str, tuple[anyio.Event, list[bytes]]] = {}
        self._requested = anyio.Event()
        self._handling: set[bytes] = set()
        self._handled: set[bytes] = set()  # and not deleted from the stream yet
        self._finishing = False
        self._finished = anyio.Event()

    def __repr__(self) -> str:
        return f"<RedisRpc of {self._node}, {len(self._waiting)} waiting>"

    # The requester

    async def request(self, body: bytes, *, seconds: float) -> bytes:
        """See Cluster; `run` must be running to fetch the reply."""
        number = secrets.token_hex(8)
        done, replies = anyio.Event(), list[bytes]()
        self._waiting[number] = done, replies
        self._requested.set()
        try:
            with anyio.fail_after(seconds):
                await self._send(_Request(self._node, number, self._wall() + seconds, body))
                await done.wait()
        except TimeoutError:
            raise NoLeader(f"no reply within {seconds:g} s") from None
        finally:
            del self._waiting[number]
        return replies[0]

    async def _send(self, request: _Request) -> None:
        fields: Any = {"e": msgspec.json.encode(request)}

        def add() -> Awaitable[Any]:
            return self._redis.xadd(REQUESTS, fields, maxlen=MAX_REQUESTS, approximate=True)

        try:
            await with_fresh_connection(self._redis, add)
        except (RedisError, OSError, TimeoutError) as exc:
            raise CacheUnavailable(f"Redis did not accept a request: {type(exc).__name__}") from None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fetch the replies to this node's requests until cancelled."""
        task_status.started()
        while True:
            if not self._waiting:
                self._requested = anyio.Event()
                await self._requested.wait()
            try:
                await self._fetch()
            except (RedisError, OSError, TimeoutError):
                await anyio.sleep(RETRY_SECONDS)

    async def _fetch(self) -> None:
        with anyio.fail_after(COMMAND_SECONDS + BLOCK_SECONDS):
            found: Any = await self._redis.blpop([REPLIES % self._node], timeout=BLOCK_SECONDS)
        if found is None:
            return
        reply = msgspec.json.decode(found[1], type=_Reply)
        if waiting := self._waiting.get(reply.number):
            done, replies = waiting
            replies.append(reply.body)
            done.set()

    # The leader

    async def serve(self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """See Cluster; requests that an earlier leader left are handled as well."""
        self._finishing, self._finished = False, anyio.Event()
        limit = anyio.Semaphore(MAX_CONCURRENT_REQUESTS)
        task_status.started()
        next_claim = 0.0
        async with anyio.create_task_group() as tasks:
            while not self._finishing:
                try:
                    entries = await self._new()
                    if (now := anyio.current_time()) >= next_claim:
                        next_claim = now + CLAIM_SECONDS / 2
                        entries += await self._abandoned()
                except (RedisError, OSError, TimeoutError):
                    await anyio.sleep(RETRY_SECONDS)
                    continue
                for entry in entries:
                    await limit.acquire()
                    tasks.start_soon(self._handle, handler, entry, limit)
        self._finished.set()

    async def finish(self) -> None:
        """Take no more requests, and wait until those in progress are done: the next leader could not repeat them."""
        self._finishing = True
        await self._finished.wait()

    async def _new(self) -> list[Entry]:
        try:
            with anyio.fail_after(COMMAND_SECONDS + BLOCK_SECONDS):
                block = math.ceil(BLOCK_SECONDS * 1000)
                found: Any = await self._redis.xreadgroup(GROUP, self._node, {REQUESTS: ">"}, count=32, block=block)
        except ResponseError as exc:
            if "NOGROUP" not in str(exc):
                raise
            with anyio.fail_after(COMMAND_SECONDS):
                await self._redis.xgroup_create(REQUESTS, GROUP, id="0", mkstream=True)
            return []
        return [entry for _, entries in found or () for entry in entries]

    async def _abandoned(self) -> list[Entry]:
        idle = int(CLAIM_SECONDS * 1000)
        with anyio.fail_after(COMMAND_SECONDS):
            found: Any = await self._redis.xautoclaim(REQUESTS, GROUP, self._node, min_idle_time=idle, count=32)
        entries: list[Entry] = found[1]
        for place in [place for place, _ in entries if place in self._handled]:
            await self._delete(place)
        ours = self._handling | self._handled
        return [(place, fields) for place, fields in entries if fields and place not in ours]

    async def _handle(self, handler: Handler, entry: Entry, limit: anyio.Semaphore) -> None:
        place, fields = entry
        self._handling.add(place)
        try:
            request = msgspec.json.decode(fields[b"e"], type=_Request)
            with anyio.move_on_after(request.until - self._wall()):
                reply = msgspec.json.encode(_Reply(request.number, await handler(request.body)))
                await self._reply(REPLIES % request.node, reply)
        except (msgspec.DecodeError, KeyError):
            log.warning("unreadable request dropped")
        finally:
            limit.release()
        self._handled.add(place)
        self._handling.discard(place)
        await self._delete(place)

    async def _reply(self, name: str, reply: bytes) -> None:
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.rpush(name, reply)
                    pipe.expire(name, REPLY_EXPIRE_SECONDS)
                    await pipe.execute()
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("reply not sent", reason=type(exc).__name__)

    async def _delete(self, place: bytes) -> None:
        # Otherwise it is deleted when it is claimed again.
        with contextlib.suppress(RedisError, OSError, TimeoutError), anyio.fail_after(COMMAND_SECONDS):
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.xack(REQUESTS, GROUP, place)
                pipe.xdel(REQUESTS, place)
                await pipe.execute()
            self._handled.discard(place)
