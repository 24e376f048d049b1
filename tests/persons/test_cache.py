"""The same tests over the cache in memory and the cache in a real Redis, and a Redis that fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from cryptomarket.errors import CacheUnavailable
from cryptomarket.persons.cache import Cache
from cryptomarket.persons.cache.memory import MemoryCache
from tests.redis_server import running_redis

from .caches import redis_cache


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cache]:
    """An empty cache of each implementation."""
    if request.param == "memory":
        yield MemoryCache()
        return
    async with running_redis(tmp_path) as server, redis_cache(server.url) as shared:
        yield shared


async def test_values_are_stored_and_deleted(cache: Cache) -> None:
    """Values are returned in the order of their names until they are deleted."""
    await cache.put("a", b"1", 60)
    await cache.put("b", b"2", 60)
    assert await cache.get("b", "none", "a") == [b"2", None, b"1"]
    await cache.delete("a", "none")
    assert await cache.get("a", "b") == [None, b"2"]
    assert await cache.get() == []


async def test_values_expire(cache: Cache) -> None:
    """An expired value is neither returned nor among the names."""
    await cache.put("short", b"1", 0.05)
    await cache.put("long", b"1", 60)
    with anyio.fail_after(60):
        while await cache.get("short") != [None]:
            await anyio.sleep(0.02)
    assert [name async for name in cache.names("")] == ["long"]


async def test_only_one_caller_takes_a_value(cache: Cache) -> None:
    """Of many concurrent callers one receives the value."""
    await cache.put("once", b"secret", 60)
    taken: list[bytes | None] = []

    async def take() -> None:
        taken.append(await cache.take("once"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(take)
    assert sorted(filter(None, taken)) == [b"secret"]
    assert len(taken) == 20


async def test_a_life_is_extended_or_given_anew(cache: Cache) -> None:
    """Of values that exist; a deleted one is not restored, neither by a swap."""
    await cache.put("kept", b"1", 0.3)
    await cache.put("swapped", b"1", 0.3)
    await cache.put("short", b"1", 0.3)
    await cache.extend({"kept": 60, "gone": 60})
    assert await cache.swap("swapped", b"1", b"2", 60)
    assert not await cache.swap("gone", b"1", b"2", 60)
    with anyio.fail_after(60):
        while await cache.get("short") != [None]:
            await anyio.sleep(0.02)
    assert await cache.get("kept", "swapped", "gone") == [b"1", b"2", None]


async def test_a_swap_needs_the_old_value(cache: Cache) -> None:
    """A value is replaced or deleted only when the old one is given, and keeps its lifetime."""
    await cache.put("k", b"old", 0.3)
    assert not await cache.swap("k", b"other", b"new")
    assert not await cache.swap("none", b"old", b"new")
    assert await cache.swap("k", b"old", b"new")
    assert await cache.get("k") == [b"new"]
    with anyio.fail_after(60):
        while await cache.get("k") != [None]:
            await anyio.sleep(0.02)
    await cache.put("k", b"old", 60)
    assert await cache.swap("k", b"old", None)
    assert await cache.get("k") == [None]


async def test_a_count_restarts_after_its_time(cache: Cache) -> None:
    """The time runs from the first call, not from the last."""
    assert [await cache.count("n", 0.3) for _ in range(3)] == [1, 2, 3]
    with anyio.fail_after(60):
        while await cache.get("n") != [None]:
            await anyio.sleep(0.02)
    assert await cache.count("n", 60) == 1


async def test_names_are_found_by_their_prefix(cache: Cache) -> None:
    """More than one page is returned, and pattern characters in a prefix are literal."""
    for number in range(1_200):
        await cache.put(f"deribit:person:{number}", b"x", 60)
    await cache.put("deribit:*:1", b"x", 60)
    found = {name async for name in cache.names("deribit:person:")}
    assert len(found) == 1_200
    assert [name async for name in cache.names("deribit:*")] == ["deribit:*:1"]


async def test_a_dead_redis_raises_cache_unavailable(tmp_path: Path) -> None:
    """Every command raises CacheUnavailable, whose text does not contain the address."""
    async with running_redis(tmp_path) as server:
        await server.kill()
        async with redis_cache(server.url.replace("redis://", "redis://user:hunter2@")) as cache:
            with pytest.raises(CacheUnavailable) as caught:
                await cache.get("a")
            assert "hunter2" not in repr(caught.value)
            for work in (cache.put("a", b"", 1), cache.take("a"), cache.swap("a", b"", b""), cache.count("a", 1)):
                with pytest.raises(CacheUnavailable):
                    await work


async def test_a_restarted_redis_answers_the_first_command(tmp_path: Path) -> None:
    """Connections that died with the old process are replaced without an error."""
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache:
        await cache.put("a", b"1", 60)
        await server.kill()
        await server.start()
        assert await cache.get("a") == [None]


async def test_a_hung_redis_fails_a_command_in_time(tmp_path: Path) -> None:
    """A command fails at the cache's limit, and no later command receives its late answer."""
    async with running_redis(tmp_path) as server, redis_cache(server.url, command_seconds=0.5) as cache:
        await cache.put("mine", b"mine", 60)
        await cache.put("yours", b"yours", 60)
        server.pause()
        with anyio.fail_after(20), pytest.raises(CacheUnavailable):  # the client itself would wait 30 s
            await cache.get("mine")
        server.resume()
        with anyio.fail_after(60):
            while True:
                try:
                    assert await cache.get("yours") == [b"yours"]
                    break
                except CacheUnavailable:
                    await anyio.sleep(0.05)
