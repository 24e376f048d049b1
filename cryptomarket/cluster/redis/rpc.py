"""Requests from any node to the leader, through Redis.

A request waits in a stream until the leader has replied. One that a dying leader took stays pending in the stream: the
next leader claims it and handles it again, or the requester's time runs out. Replies go to a list of the requester.

Both are sealed with keys that only nodes have. The request's deadline and number are inside, so each leader handles a
copy of a request at most once, and none after the deadline. The reply names its request, so it answers no other one.
"""

import contextlib
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from redis import RedisError, ResponseError
from redis.asyncio import Redis

from ...errors import CacheUnavailable, NoLeader
from ..cluster import MAX_CONCURRENT_REQUESTS, Handler
from ..node_keys import NodeKeys
from .client import BLOCK_SECONDS, COMMAND_SECONDS, own_channel, with_fresh_connection
from .refused import RefusedMessages

__all__ = ["RedisRpc"]

log = structlog.get_logger(__name__)

REQUESTS, GROUP, REPLIES = "cryptomarket:requests", "leader", "cryptomarket:replies:%s"
#: A leader that has not replied for so long is gone; another handles its requests.
CLAIM_SECONDS = 4.0
MAX_REQUESTS = 10_000
RETRY_SECONDS = 0.5
REPLY_EXPIRE_SECONDS = 30
#: The longest time to a deadline; no node requests more.
MAX_SECONDS = 120.0
#: A sealed request or reply of a node is much shorter. A longer one is not even opened.
MAX_BYTES = 2**20

#: An entry of the stream: its id and its fields.
Entry = tuple[bytes, dict[bytes, bytes]]
Opened = TypeVar("Opened")


class _Request(msgspec.Struct, array_like=True):
    node: str
    number: str
    until: float
    body: bytes


class _Reply(msgspec.Struct, array_like=True):
    node: str
    number: str
    body: bytes


class RedisRpc:
    """Requests and replies of one node; see Cluster. ``keys`` seal them; what they do not open is ``refused``."""

    def __init__(
        self,
        redis: Redis,
        node: str,
        keys: NodeKeys,
        *,
        refused: RefusedMessages | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._node = node
        self._keys = keys
        self._sealed_request, self._sealed_reply = (
            f"{kind} {own_channel(redis, REQUESTS)}" for kind in ("request", "reply")
        )
        self._refused = refused or RefusedMessages()
        self._wall = wall
        self._waiting: dict[str, tuple[anyio.Event, list[bytes]]] = {}
        self._requested = anyio.Event()
        self._handling: set[bytes] = set()
        self._handled: set[bytes] = set()  # and not deleted from the stream yet
        #: The deadlines of requests that this node handles or has handled, by number.
        self._numbers: dict[str, float] = {}
        self._finishing = False
        self._finished = anyio.Event()

    def __repr__(self) -> str:
        return f"<RedisRpc of {self._node}, {len(self._waiting)} waiting>"

    # The requester

    async def request(self, body: bytes, *, seconds: float) -> bytes:
        """See Cluster; `run` must be running to fetch the reply."""
        number = secrets.token_hex(16)
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
        fields: Any = {"e": self._keys.seal(self._sealed_request, msgspec.json.encode(request))}

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
        reply = self._opened(self._sealed_reply, found[1], _Reply)
        if reply is None or reply.node != self._node:
            return
        if waiting := self._waiting.get(reply.number):
            done, replies = waiting
            replies.append(reply.body)
            done.set()

    def _opened(self, purpose: str, sealed: bytes, kind: type[Opened]) -> Opened | None:
        data = self._keys.open(purpose, sealed) if len(sealed) <= MAX_BYTES else None
        if data is None:
            self._refused.add("signature")
            return None
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError:
            self._refused.add("format")  # of another version
            return None

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
            request = self._opened(self._sealed_request, fields.get(b"e", b""), _Request)
            if request is not None and self._accepts(request):
                await self._reply_to(request, handler)
        finally:
            limit.release()
        self._handled.add(place)
        self._handling.discard(place)
        await self._delete(place)

    def _accepts(self, request: _Request) -> bool:
        """Whether the request must be handled now: its time is not over, and it is no copy."""
        now = self._wall()
        if not now < request.until <= now + MAX_SECONDS:
            self._refused.add("time")
            return False
        if request.number in self._numbers:
            self._refused.add("repeated")
            return False
        if len(self._numbers) >= MAX_REQUESTS:
            self._numbers = {number: until for number, until in self._numbers.items() if until > now}
        self._numbers[request.number] = request.until
        return True

    async def _reply_to(self, request: _Request, handler: Handler) -> None:
        handled = False
        try:
            with anyio.move_on_after(request.until - self._wall()):
                reply = msgspec.json.encode(_Reply(request.node, request.number, await handler(request.body)))
                handled = True
                await self._reply(REPLIES % request.node, self._keys.seal(self._sealed_reply, reply))
        finally:
            if not handled:  # this node stopped leading: if it leads again, it handles the request then
                self._numbers.pop(request.number, None)  # unless it is forgotten already, its time being over

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
