"""One suite over the cache in memory and the cache in a real Redis, and what happens when Redis fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from cryptomarket.errors import CacheUnavailable
from cryptomarket.persons.cache.memory import Cache, MemoryCache
from cryptomarket.persons.cache.redis import RedisCache
from tests.redis_server import running_redis


@pytest.fixture(params=["memory", "redis"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cache]:
    """An empty cache of each kind."""
    if request.param == "memory":
        yield MemoryCache()
        return
    async with running_redis(tmp_path) as server:
        held = RedisCache(server.url)
        yield held
        await held.aclose()


async def test_values_are_kept_and_forgotten(cache: Cache) -> None:
    """What was put is got, several at once and in order, until it is deleted."""
    assert await cache.put("a", b"1", 60)
    assert await cache.put("b", b"2", 60)
    assert await cache.get("b", "none", "a") == [b"2", None, b"1"]
    await cache.delete("a", "none")
    assert await cache.get("a", "b") == [None, b"2"]
    assert await cache.get() == []


async def test_values_end_by_themselves(cache: Cache) -> None:
    """After its time a value is not there, and not among the names."""
    await cache.put("short", b"1", 0.05)
    await cache.put("long", b"1", 60)
    with anyio.fail_after(60):
        while await cache.get("short") != [None]:
            await anyio.sleep(0.02)
    assert [name async for name in cache.names("")] == ["long"]


async def test_only_one_takes(cache: Cache) -> None:
    """Of many who take a value at once, one gets it."""
    await cache.put("once", b"secret", 60)
    got: list[bytes | None] = []

    async def take() -> None:
        got.append(await cache.take("once"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(take)
    assert sorted(filter(None, got)) == [b"secret"]
    assert len(got) == 20


async def test_only_over_does_not_bring_back(cache: Cache) -> None:
    """What was deleted meanwhile is not written again."""
    assert not await cache.put("gone", b"1", 60, only_over=True)
    assert await cache.get("gone") == [None]
    await cache.put("there", b"1", 60)
    assert await cache.put("there", b"2", 60, only_over=True)
    assert await cache.get("there") == [b"2"]


async def test_swap_needs_the_old_value(cache: Cache) -> None:
    """A value is replaced or removed only by who knows it; it ends when it would have."""
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


async def test_counting_begins_anew_after_its_time(cache: Cache) -> None:
    """The time runs from the first count, not from the last."""
    assert [await cache.count("n", 0.3) for _ in range(3)] == [1, 2, 3]
    with anyio.fail_after(60):
        while await cache.get("n") != [None]:
            await anyio.sleep(0.02)
    assert await cache.count("n", 60) == 1


async def test_names_are_found_by_their_beginning(cache: Cache) -> None:
    """All of them, also more than one page; signs of patterns in a prefix are letters."""
    for number in range(1_200):
        await cache.put(f"deribit:person:{number}", b"x", 60)
    await cache.put("deribit:*:1", b"x", 60)
    found = {name async for name in cache.names("deribit:person:")}
    assert len(found) == 1_200
    assert [name async for name in cache.names("deribit:*")] == ["deribit:*:1"]


async def test_a_dead_redis_is_a_sentence(tmp_path: Path) -> None:
    """Every command fails with our error, without the address; it works again when Redis is back."""
    async with running_redis(tmp_path) as server:
        cache = RedisCache(server.url.replace("redis://", "redis://user:hunter2@"))
        await server.kill()
        with pytest.raises(CacheUnavailable) as caught:
            await cache.get("a")
        assert "hunter2" not in repr(caught.value)
        for work in (cache.put("a", b"", 1), cache.take("a"), cache.swap("a", b"", b""), cache.count("a", 1)):
            with pytest.raises(CacheUnavailable):
                await work
        await cache.aclose()
        cache = RedisCache(server.url)
        await server.start()
        await cache.put("a", b"1", 60)
        await server.kill()
        await server.start()
        assert await cache.get("a") == [None]
        await cache.aclose()


async def test_a_hung_redis_is_bounded(tmp_path: Path) -> None:
    """A Redis that accepts and never answers costs half a second, and no later command gets its late answer."""
    async with running_redis(tmp_path) as server:
        cache = RedisCache(server.url)
        await cache.put("mine", b"mine", 60)
        await cache.put("yours", b"yours", 60)
        server.pause()
        with anyio.fail_after(60), pytest.raises(CacheUnavailable):
            await cache.get("mine")
        server.go_on()
        with anyio.fail_after(60):
            while True:
                try:
                    assert await cache.get("yours") == [b"yours"]
                    break
                except CacheUnavailable:
                    await anyio.sleep(0.05)
        await cache.aclose()
