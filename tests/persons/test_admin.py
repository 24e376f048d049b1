"""What operators do: rotate keys, list and forget persons; and persons while Redis or the leader is away."""

import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from cryptography.fernet import Fernet

from cryptomarket.errors import NoLeader
from cryptomarket.model import SessionChanged
from cryptomarket.persons.admin import end_logins, rewrap_all
from cryptomarket.persons.browser_sessions import BrowserSessions
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.keys import file_keys
from cryptomarket.persons.last_seen import LastSeen
from cryptomarket.persons.login_secrets import LoginSecrets
from cryptomarket.persons.person import LIFE_SECONDS, Person
from cryptomarket.persons.seen_repository import SeenPerson, SeenRepository, list_seen
from cryptomarket.persons.tokens import Tokens
from cryptomarket.persons.vault import Vault
from tests.databases import StoredHistory
from tests.processes import run_program
from tests.redis_server import running_redis

from .caches import redis_cache
from .site import ADA, BOB, connection_event, running_persons

pytestmark = pytest.mark.system


def person(number: int) -> Person:
    """A person with the number."""
    now = int(time.time())
    name = f"p{number}"
    return Person(name, name, f"{name}@example.com", "account:read", now, now, now, now + 900, "x", Tokens("a", "r"))


async def unpublished(message: SessionChanged) -> None:
    """Nothing may be published."""
    raise AssertionError(message)


async def log_in(sessions: BrowserSessions, number: int) -> None:
    """Log the person with the number in from two browsers."""
    for session in (f"s{number}a", f"s{number}b"):
        await sessions.log_in(person(number), session, "login")


async def test_keys_rotate_under_load(tmp_path: Path) -> None:
    """No read fails while persons are read and written, and afterwards the new key alone opens every record."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keys = [old]
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache:
        running = BrowserSessions(cache, Vault(lambda: tuple(keys)))
        for number in range(100):
            await log_in(running, number)
        reads, going = 0, True

        async def read() -> None:
            nonlocal reads
            while going:
                number = reads % 100
                assert await running.persons_of([f"s{number}a"]) == [await running.person(f"p{number}")]
                assert await running.person(f"p{number}") is not None
                await log_in(running, number)
                reads += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            keys.insert(0, new)
            wrapped, unreadable = await rewrap_all(cache, Vault(lambda: (new, old)))
            going = False
        assert (wrapped >= 300, unreadable) == (True, 0)
        assert reads > 0
        await rewrap_all(cache, Vault(lambda: (new, old)))  # records written with the old key meanwhile
        only = BrowserSessions(cache, Vault(lambda: (new,)))
        assert len([one async for one in only.logged_in()]) == 100
        await cache.put("deribit:person:junk", b"junk", 60)
        assert (await rewrap_all(cache, Vault(lambda: (new,))))[1] == 1


async def test_rotate_keys_from_the_command_line(tmp_path: Path) -> None:
    """A running program changes to the new key by itself, and the old one goes when no login needs it."""
    path = tmp_path / "cryptomarket.key"
    async with running_redis(tmp_path) as server, redis_cache(server.url) as cache:
        code, out, log = await run_program(tmp_path, "rotate-keys")
        assert (code, out, len(path.read_text().split())) == (0, "", 2), log
        vault = Vault(file_keys(path))
        running, secrets, read = BrowserSessions(cache, vault), LoginSecrets(cache, vault), file_keys(path)
        await log_in(running, 1)
        used = read()[0]
        code, out, log = await run_program(tmp_path, "rotate-keys", redis_url=server.url)
        assert (code, out) == (0, "3 records sealed with the newest key\n"), log
        newest, *others = path.read_text().split()
        assert (used in others, newest == used, newest in out + log) == (True, False, False)
        await log_in(running, 2)  # with the key that it has read meanwhile
        for number in (1, 2):
            assert await BrowserSessions(cache, Vault(lambda: (newest,))).person(f"p{number}") is not None
        await LoginSecrets(cache, Vault(lambda: (used,))).put("ada", bytearray(b"secret"))
        drop = partial(run_program, tmp_path, "rotate-keys", "--drop-old", redis_url=server.url)
        code, out, log = await drop()
        assert (code, "1 records need an old key" in log, len(path.read_text().split())) == (1, True, 3), log
        await cache.delete(*[name async for name in cache.names("deribit:login:")])
        await secrets.put("ada", bytearray(b"secret"))
        code, out, log = await drop()
        assert (code, path.read_text().split()) == (0, [newest]), log
        assert await running.person("p1") is not None
        code, out, log = await drop()
        assert (code, "there is one key" in log) == (1, True)


async def test_rotation_of_a_variable_says_what_it_cannot_do(tmp_path: Path) -> None:
    """The command cannot change the variable of a running gateway, and no key is shown."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    for keys, options, expected, words in (
        (new, (), 1, "CRYPTOMARKET_SECRET_KEY holds one key"),
        (f"{new},{old}", (), 0, "running gateways have the keys of their start"),
        (f"{new},{old}", ("--drop-old",), 0, "now remove them from CRYPTOMARKET_SECRET_KEY"),
    ):
        code, out, log = await run_program(tmp_path, "rotate-keys", *options, secret_key=keys)
        assert (code, words in log) == (expected, True), log
        assert new not in out + log
        assert old not in out + log


async def test_last_seen_writes_the_persons_table(database_url: str) -> None:
    """A later write keeps the first moment and updates the last; persons not seen for long are pruned."""
    key, now = (Fernet.generate_key().decode(),), time.time()
    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        last_seen = LastSeen(SeenRepository(store.database, wall=lambda: now + 90), lasting=True, keep_days=1)
        sessions = BrowserSessions(MemoryCache(), Vault(lambda: key), on_change=last_seen.record, wall=lambda: now)
        await log_in(sessions, 1)
        await log_in(sessions, 2)
        await last_seen.write()
        first = {one.person_id: one for one in await store.database.read(list_seen)}
        now += 86_400
        assert await sessions.log_out("p2")
        used = await sessions.person("p1")
        assert used
        await sessions.record_use(used, "s1a")
        await last_seen.write_daily(sessions.logged_in)
        (found,) = await store.database.read(list_seen)
        assert found == replace(first["p1"], last=int(now), logged_in_until=int(now) + LIFE_SECONDS)


async def test_forgetting_erases_everywhere(tmp_path: Path) -> None:
    """A person is deleted from the database and from Redis by e-mail; an unknown one is an error."""
    key = Fernet.generate_key().decode()
    url = f"sqlite+aiosqlite:///{tmp_path / 'history.db'}"
    async with (
        running_redis(tmp_path) as server,
        redis_cache(server.url) as cache,
        StoredHistory(url, interval=60) as store,
    ):
        await store.migrate()
        await SeenRepository(store.database).write(
            [SeenPerson("p1", "p1", "p1@example.com", 1, 2), SeenPerson("p2", "p2", "p2@example.com", 1, 2)]
        )
        sessions = BrowserSessions(cache, Vault(lambda: (key,)))
        await log_in(sessions, 1)
        await log_in(sessions, 2)
        given = {"redis_url": server.url, "secret_key": key}
        code, out, log = await run_program(tmp_path, "persons", "forget", "p1@example.com", **given)
        assert (code, out) == (0, "1 erased from the database, 1 logins ended\n"), log
        assert await sessions.persons_of(["s1a", "s2a"]) == [None, await sessions.person("p2")]
        _, out, _ = await run_program(tmp_path, "persons", "list", "--json", **given)
        assert [
            (json.loads(line)["person_id"], json.loads(line)["logged_in_until"] is not None)
            for line in out.splitlines()
        ] == [("p2", True)]
        assert (await run_program(tmp_path, "persons", "forget", "p1@example.com", **given))[0] == 1
        assert await end_logins(sessions, "nobody", unpublished) == []


async def test_without_redis_prices_flow_and_logins_wait(tmp_path: Path) -> None:
    """While Redis is away a login gets 503 with the seconds to wait; when it is back, logins work again."""
    async with running_redis(tmp_path) as server, running_persons(tmp_path, redis_url=server.url) as site:
        browser, other = await site.browser(), await site.browser()
        async with browser.stream() as tab, other.stream() as second:
            await browser.log_in(ADA)
            await connection_event(tab, "person")
            await server.kill()
            response = await browser.log_in(BOB)
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")
            assert (await browser.me()).status_code == 503
            before = site.gateway.latest.tick("btc_usd")
            with anyio.fail_after(60):
                while site.gateway.latest.tick("btc_usd") == before:
                    await anyio.sleep(0.02)
            await server.start()
            assert (await browser.me()).status_code == 401  # it came back empty
            await other.log_in(BOB)
            assert (await connection_event(second, "person"))["username"] == "bob"


async def test_a_login_without_a_reply_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login to which no leader replies in time ends with a failure on the stream."""

    async def no_leader(body: bytes, /, *, seconds: float) -> bytes:
        raise NoLeader("no reply")

    async with running_persons(tmp_path) as site:
        monkeypatch.setattr(site.gateway.persons.login_queue, "_request_leader", no_leader)
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            assert "try again" in (await connection_event(tab, "login_failed"))["reason"]


async def test_a_lost_message_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a notice of lost messages a session that logged in meanwhile receives its person."""
    async with running_persons(tmp_path) as site:
        browser, other = await site.browser(), await site.browser()
        notifier = site.gateway.persons.notifier
        async with browser.stream() as tab, other.stream() as second:
            with monkeypatch.context() as patched:
                patched.setattr(notifier, "on_message", lambda _: None)
                await browser.log_in(ADA)
                with anyio.fail_after(30):
                    while (await browser.me()).status_code != 200:
                        await anyio.sleep(0.02)
            notifier.on_message(SessionChanged((), "missed"))
            assert (await connection_event(tab, "person"))["username"] == "ada"
            await other.log_in(BOB)
            assert (await connection_event(second, "person"))["username"] == "bob"


async def test_without_a_leader_a_login_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets 503 with the seconds to wait."""
    async with running_persons(tmp_path) as site:
        monkeypatch.setattr(site.gateway.persons.login_queue, "_has_leader", lambda: False)
        response = await (await site.browser()).log_in(ADA)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")


async def test_an_outcome_is_sent_without_redis(tmp_path: Path) -> None:
    """When Redis dies during a login, the streams of this node receive the failure all the same."""
    async with running_redis(tmp_path) as server, running_persons(tmp_path, redis_url=server.url) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            site.exchange.inject("unanswered", "public/auth")
            await browser.log_in(ADA)
            with anyio.fail_after(30):
                while [
                    one async for one in site.gateway.persons.sessions._cache.names("deribit:login:") if "secret" in one
                ]:
                    await anyio.sleep(0.02)
            await server.kill()
            assert "try again" in (await connection_event(tab, "login_failed", seconds=60))["reason"]
