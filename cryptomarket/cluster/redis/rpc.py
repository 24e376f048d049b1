"""The desk of many nodes on Redis: errands wait in a stream until the leader has answered them.

An errand that a dying leader took is pending in the stream; the next leader claims it and does it again, or the one
who asked is told when its time is up. Answers go to a list of the node that asked.
"""

import contextlib
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from redis import ConnectionError, RedisError, ResponseError  # noqa: A004 (Redis' own)
from redis.asyncio import Redis

from ...errors import CacheUnavailable, NoLeader
from ..rpc import AT_ONCE, Handler
from .client import redis_client

__all__ = ["RedisRpc"]

log = structlog.get_logger(__name__)

REQUESTS, GROUP, REPLIES = "cryptomarket:errands", "leader", "cryptomarket:answers:%s"
COMMAND_SECONDS = 0.5
#: How long one look for news may wait; Redis answers at once when there is some.
LOOK_SECONDS = 0.2
#: A leader that has not answered for so long is not there any more; another does its errands.
CLAIM_SECONDS = 4.0
MOST_REQUESTS = 10_000
RETRY_SECONDS = 0.5


class _Request(msgspec.Struct, array_like=True):
    node: str
    number: str
    until: float
    request: bytes


class _Reply(msgspec.Struct, array_like=True):
    number: str
    answer: bytes


class RedisRpc:
    """The desk as one node sees it; see Desk. ``run`` brings the answers to what was asked here."""

    def __init__(self, url: str, node: str, *, wall: Callable[[], float] = time.time) -> None:
        self._node = node
        self._wall = wall
        self._redis: Redis = redis_client(url, connect_seconds=COMMAND_SECONDS, seconds=COMMAND_SECONDS + LOOK_SECONDS)
        self._waiting: dict[str, tuple[anyio.Event, list[bytes]]] = {}
        self._asked = anyio.Event()
        self._doing: set[bytes] = set()
        self._finishing = False
        self._finished = anyio.Event()
        self._done: set[bytes] = set()  # and not crossed off yet

    def __repr__(self) -> str:
        return f"<RedisDesk of {self._node}, {len(self._waiting)} waiting>"

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._redis.aclose()

    # Asking

    async def ask(self, request: bytes, *, seconds: float) -> bytes:
        """The leader's answer; raises NoLeader when none came in time, CacheUnavailable when Redis is away."""
        number = secrets.token_hex(8)
        done, answers = anyio.Event(), list[bytes]()
        self._waiting[number] = done, answers
        self._asked.set()
        try:
            with anyio.fail_after(seconds):
                await self._put(_Request(self._node, number, self._wall() + seconds, request))
                await done.wait()
        except TimeoutError:
            raise NoLeader(f"no answer within {seconds:g} s") from None
        finally:
            del self._waiting[number]
        return answers[0]

    async def _put(self, request: _Request) -> None:
        fields: Any = {"e": msgspec.json.encode(request)}
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                try:
                    await self._redis.xadd(REQUESTS, fields, maxlen=MOST_REQUESTS, approximate=True)
                except ConnectionError:
                    # Redis restarted or changed its role: what else the pool holds is as dead as this connection.
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
                    await self._redis.xadd(REQUESTS, fields, maxlen=MOST_REQUESTS, approximate=True)
        except (RedisError, OSError, TimeoutError) as exc:
            raise CacheUnavailable(f"Redis did not take an errand: {type(exc).__name__}") from None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Bring the answers until cancelled."""
        task_status.started()
        while True:
            if not self._waiting:
                self._asked = anyio.Event()
                await self._asked.wait()
            try:
                await self._fetch()
            except (RedisError, OSError, TimeoutError):
                await anyio.sleep(RETRY_SECONDS)

    async def _fetch(self) -> None:
        with anyio.fail_after(COMMAND_SECONDS + LOOK_SECONDS):
            found: Any = await self._redis.blpop([REPLIES % self._node], timeout=LOOK_SECONDS)
        if found is None:
            return
        answer = msgspec.json.decode(found[1], type=_Reply)
        if waiting := self._waiting.get(answer.number):
            done, answers = waiting
            answers.append(answer.answer)
            done.set()

    # Serving

    async def serve(self, handle: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Do the errands of all nodes until cancelled; those that an earlier leader left as well."""
        self._finishing, self._finished = False, anyio.Event()
        places = anyio.Semaphore(AT_ONCE)
        task_status.started()
        next_claim = 0.0
        async with anyio.create_task_group() as tasks:
            while not self._finishing:
                try:
                    found = await self._new()
                    if (now := anyio.current_time()) >= next_claim:
                        next_claim = now + CLAIM_SECONDS / 2
                        found += await self._left_behind()
                except (RedisError, OSError, TimeoutError):
                    await anyio.sleep(RETRY_SECONDS)
                    continue
                for place, fields in found:
                    await places.acquire()
                    tasks.start_soon(self._do, handle, place, fields, places)
        self._finished.set()

    async def finish(self) -> None:
        """Take no more errands, and wait until those in hand are done: the next leader could not do them again."""
        self._finishing = True
        await self._finished.wait()

    async def _new(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        try:
            with anyio.fail_after(COMMAND_SECONDS + LOOK_SECONDS):
                wait = math.ceil(LOOK_SECONDS * 1000)
                found: Any = await self._redis.xreadgroup(GROUP, self._node, {REQUESTS: ">"}, count=32, block=wait)
        except ResponseError as exc:
            if "NOGROUP" not in str(exc):
                raise
            await self._redis.xgroup_create(REQUESTS, GROUP, id="0", mkstream=True)
            return []
        return [(place, fields) for _, entries in found or () for place, fields in entries]

    async def _left_behind(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        idle = int(CLAIM_SECONDS * 1000)
        with anyio.fail_after(COMMAND_SECONDS):
            found: Any = await self._redis.xautoclaim(REQUESTS, GROUP, self._node, min_idle_time=idle, count=32)
        for place in [place for place, _ in found[1] if place in self._done]:
            await self._forget(place)
        ours = self._doing | self._done
        return [(place, fields) for place, fields in found[1] if fields and place not in ours]

    async def _do(self, handle: Handler, place: bytes, fields: dict[bytes, bytes], places: anyio.Semaphore) -> None:
        self._doing.add(place)
        try:
            asked = msgspec.json.decode(fields[b"e"], type=_Request)
            left = asked.until - self._wall()
            with anyio.move_on_after(left):
                answer = msgspec.json.encode(_Reply(asked.number, await handle(asked.request)))
                await self._answer(REPLIES % asked.node, answer)
        except (msgspec.DecodeError, KeyError):
            log.warning("an errand that is none was thrown away")
        finally:
            places.release()
        self._done.add(place)
        self._doing.discard(place)
        await self._forget(place)

    async def _answer(self, name: str, answer: bytes) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.rpush(name, answer)
                pipe.expire(name, 30)
                await pipe.execute()
        except (RedisError, OSError) as exc:
            log.warning("an answer could not be given", reason=type(exc).__name__)

    async def _forget(self, place: bytes) -> None:
        with contextlib.suppress(RedisError, OSError):  # else it is crossed off when it is found again
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.xack(REQUESTS, GROUP, place)
                pipe.xdel(REQUESTS, place)
                await pipe.execute()
            self._done.discard(place)
