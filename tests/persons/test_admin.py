"""What operators do: rotate keys under load, list and forget persons; and what happens when Redis is away."""

import json
import time
from pathlib import Path

import anyio
import pytest
from cryptography.fernet import Fernet

from cryptomarket.errors import NoLeader
from cryptomarket.history.store import Store
from cryptomarket.model import SessionChanged
from cryptomarket.persons.admin import forget, rewrap_all
from cryptomarket.persons.browser_sessions import BrowserSessions, Person, Tokens
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.last_seen import LastSeen
from cryptomarket.persons.seen_repository import SeenPerson, SeenRepository, list_seen
from cryptomarket.persons.vault import Vault
from tests.processes import run_program
from tests.redis_server import running_redis

from .caches import redis_cache
from .site import ADA, BOB, running_persons, told


def person(number: int) -> Person:
    """Somebody who is logged in from two browsers."""
    now = int(time.time())
    name = f"p{number}"
    sessions = {f"s{number}a": "l", f"s{number}b": "l"}
    return Person(name, name, f"{name}@example.com", "account:read", now + 900, now, now, Tokens("a", "r"), sessions)


async def enter(sessions: BrowserSessions, number: int) -> None:
    """Log somebody in."""
    one = person(number)
    await sessions.write(one)
    for session in one.sessions:
        await sessions.bind(session, one.person_id)


async def test_keys_rotate_under_load(tmp_path: Path) -> None:
    """While persons are read and written all the time, no read fails; afterwards the new key alone opens everything."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    held = [old]
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache:
        running = BrowserSessions(cache, Vault(lambda: tuple(held)))
        for number in range(100):
            await enter(running, number)
        reads, going = 0, True

        async def read() -> None:
            nonlocal reads
            while going:
                number = reads % 100
                assert await running.of_sessions([f"s{number}a"]) == [await running.person(f"p{number}")]
                assert await running.person(f"p{number}") is not None
                await running.write(person(number))
                reads += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            held.insert(0, new)
            done, refused = await rewrap_all(cache, Vault(lambda: (new, old)))
            going = False
        assert (done >= 300, refused) == (True, 0)
        assert reads > 0
        await rewrap_all(cache, Vault(lambda: (new, old)))  # what a vault with the old key wrote meanwhile
        only = BrowserSessions(cache, Vault(lambda: (new,)))
        assert len([one async for one in only.persons()]) == 100
        await cache.put("deribit:person:junk", b"junk", 60)
        assert (await rewrap_all(cache, Vault(lambda: (new,))))[1] == 1


async def test_rotate_keys_from_the_command_line(tmp_path: Path) -> None:
    """A new key goes before the others of the file, and everything in Redis opens with it alone."""
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache:
        code, out, log = await run_program(tmp_path, "rotate-keys", redis_url=server.url)
        assert (code, out) == (0, "0 records sealed with the newest key\n"), log
        path = tmp_path / "cryptomarket.key"
        await enter(BrowserSessions(cache, Vault(lambda: tuple(path.read_text().split()))), 1)
        code, out, log = await run_program(tmp_path, "rotate-keys", redis_url=server.url)
        assert (code, out) == (0, "3 records sealed with the newest key\n"), log
        newest = path.read_text().split()[0]
        assert newest not in out + log
        assert await BrowserSessions(cache, Vault(lambda: (newest,))).person("p1") is not None
    code, _, log = await run_program(tmp_path, "rotate-keys", secret_key=newest)
    assert code == 1
    assert "CRYPTOMARKET_SECRET_KEY holds one key" in log
    assert newest not in log


async def test_the_roster_writes_who_was_seen(database_url: str) -> None:
    """Id, name, e-mail, first and last time; once more later keeps the first; old ones go after their days."""
    key = (Fernet.generate_key().decode(),)
    sessions = BrowserSessions(MemoryCache(), Vault(lambda: key))
    now = 1_000_000.0
    async with Store(database_url, interval=60) as store:
        await store.migrate()

        last_seen = LastSeen(sessions.persons, SeenRepository(store.database), wall=lambda: now)
        await enter(sessions, 1)
        last_seen.record(person(2))
        await last_seen.write()
        now += 86_400
        await last_seen.write()

        async def seen() -> dict[str, tuple[int, int]]:
            async with store.reading() as reader:
                return {one.person_id: (one.first, one.last) for one in await reader.ask(list_seen)}

        found = await seen()
        assert {one: last for one, (_, last) in found.items()} == {"p1": 1_086_400, "p2": 1_000_000}
        await SeenRepository(store.database).prune(1_050_000)
        assert list(await seen()) == ["p1"]


async def test_forgetting_erases_everywhere(tmp_path: Path) -> None:
    """By e-mail: out of the database and out of Redis; nobody by that name is said."""
    key = Fernet.generate_key().decode()
    url = f"sqlite+aiosqlite:///{tmp_path / 'history.db'}"
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache, Store(url, interval=60) as store:
        await store.migrate()
        await SeenRepository(store.database).write(
            [SeenPerson("p1", "p1", "p1@example.com", 1, 2), SeenPerson("p2", "p2", "p2@example.com", 1, 2)]
        )
        sessions = BrowserSessions(cache, Vault(lambda: (key,)))
        await enter(sessions, 1)
        await enter(sessions, 2)
        given = {"redis_url": server.url, "secret_key": key}
        code, out, log = await run_program(tmp_path, "persons", "forget", "p1@example.com", **given)
        assert (code, out) == (0, "1 erased from the database, 1 logins ended\n"), log
        assert await sessions.of_sessions(["s1a", "s2a"]) == [None, await sessions.person("p2")]
        _, out, _ = await run_program(tmp_path, "persons", "list", "--json", **given)
        assert [json.loads(line)["person_id"] for line in out.splitlines()] == ["p2"]
        assert (await run_program(tmp_path, "persons", "forget", "p1@example.com", **given))[0] == 1
        assert await forget(sessions, "nobody") == []


async def test_without_redis_the_feed_goes_on_and_log_ins_wait(tmp_path: Path) -> None:
    """Redis dies: prices flow, a log-in answers 503 with when to come back; it returns: log-ins work by themselves."""
    async with running_redis(tmp_path) as server, running_persons(tmp_path, redis_url=server.url) as site:
        browser, other = await site.browser(), await site.browser()
        async with browser.stream() as tab, other.stream() as second:
            await browser.log_in(ADA)
            await told(tab, "person")
            await server.kill()
            answer = await browser.log_in(BOB)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert (await browser.me()).status_code == 503
            before = site.gateway.latest.tick("btc_usd")
            with anyio.fail_after(60):
                while site.gateway.latest.tick("btc_usd") == before:
                    await anyio.sleep(0.02)
            await server.start()
            assert (await browser.me()).status_code == 401  # it came back empty
            await other.log_in(BOB)
            assert (await told(second, "person"))["username"] == "bob"


async def test_a_log_in_that_nobody_takes_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No leader within the time ends in a sentence, not in silence."""

    async def nobody(body: bytes, *, seconds: float) -> bytes:
        raise NoLeader("nobody serves the desk")

    async with running_persons(tmp_path) as site:
        monkeypatch.setattr(site.gateway.office.front, "_ask", nobody)
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            assert "try again" in (await told(tab, "login_failed"))["reason"]


async def test_news_that_were_lost_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus lost the word of a log-in, and says so later: who waits is told, who has no login hears nothing."""
    async with running_persons(tmp_path) as site:
        browser, other = await site.browser(), await site.browser()
        notifier = site.gateway.office.notifier
        async with browser.stream() as tab, other.stream() as second:
            with monkeypatch.context() as deaf:
                deaf.setattr(notifier, "receive", lambda _: None)
                await browser.log_in(ADA)
                with anyio.fail_after(30):
                    while (await browser.me()).status_code != 200:
                        await anyio.sleep(0.02)
            notifier.on_message(SessionChanged((), "missed"))
            assert (await told(tab, "person"))["username"] == "ada"
            await other.log_in(BOB)
            assert (await told(second, "person"))["username"] == "bob"


async def test_without_a_leader_a_log_in_is_asked_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with when to come back, instead of a promise that nobody could keep."""
    async with running_persons(tmp_path) as site:
        monkeypatch.setattr(site.gateway.office.front, "_led", lambda: False)
        answer = await (await site.browser()).log_in(ADA)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.system
async def test_an_outcome_is_told_without_redis(tmp_path: Path) -> None:
    """Redis dies while a log-in is under way: the streams here are told how it ended all the same."""
    async with running_redis(tmp_path) as server, running_persons(tmp_path, redis_url=server.url) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            site.exchange.inject("unanswered", "public/auth")
            await browser.log_in(ADA)
            with anyio.fail_after(30):
                while [name async for name in site.gateway.office.cache.names("deribit:login:")]:
                    await anyio.sleep(0.02)
            await server.kill()
            assert "try again" in (await told(tab, "login_failed", seconds=60))["reason"]
