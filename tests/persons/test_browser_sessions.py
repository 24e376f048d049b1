"""Records of logins: written by several nodes, of an earlier version, and changed without a message."""

from typing import Any

import anyio
import msgspec
import pytest

from cryptomarket.errors import CacheUnavailable
from cryptomarket.persons.browser_sessions import PERSON, SESSION, USE_SECONDS, BrowserSessions
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.notifications import LoginFailures, Notifier
from cryptomarket.persons.person import Person
from cryptomarket.persons.tokens import Tokens
from cryptomarket.persons.vault import Vault

from .test_leader_worker import Leader
from .test_token_renewal import SCOPE
from .test_vault import Clock, new_key


async def test_a_log_out_during_a_renewal_wins() -> None:
    """A person who logged out, or in again, meanwhile keeps that state."""
    leader = Leader()
    await leader.log_in()
    person = await leader.person()
    await leader.log_in()
    new = Tokens("a", "r")
    assert await leader.sessions.renew(person, new, SCOPE, issued=leader.clock.now, life_seconds=900) is None
    assert (await leader.person()).tokens != new
    await leader.sessions.log_out("7")
    assert await leader.sessions.renew(person, new, SCOPE, issued=leader.clock.now, life_seconds=900) is None
    assert await leader.cache.get(PERSON % "7") == [None]


async def test_two_nodes_that_extend_a_login_keep_all_its_fields() -> None:
    """A record that changed meanwhile is read again, so no write is lost."""
    clock, cache, key = Clock(), MemoryCache(), new_key()
    nodes = [BrowserSessions(cache, Vault(lambda: (key,), wall=clock), wall=clock) for _ in range(3)]
    now = int(clock())
    person = Person("7", "ada", "", "account:read", now, now, now, now + 900, "x", Tokens("a", "r"))
    person = (await nodes[0].log_in(person, "s1", "l1")).person
    clock.now += USE_SECONDS
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(nodes[1].record_use, person, "s1")
        tasks.start_soon(nodes[2].record_use, person, "s1")
        tasks.start_soon(nodes[0].renewal_failed, person, "a problem")
    found = await nodes[0].person("7")
    assert found is not None
    assert (found.used, found.problem) == (now + USE_SECONDS, "a problem")
    assert found.expires_at == now + 900


async def test_a_record_of_the_earlier_version_counts_as_logged_out() -> None:
    """It lived as long as its tokens and did not say which exchange session they belong to; a new login replaces it."""
    leader = Leader()
    await leader.log_in()
    old = {
        "person_id": "7",
        "username": "ada",
        "email": "",
        "scope": "account:read",
        "expires_at": int(leader.clock.now) + 900,
        "issued": int(leader.clock.now),
        "first": int(leader.clock.now),
        "tokens": {"access": "a", "refresh": "r"},
        "sessions": {"s1": "l1"},
    }
    await leader.cache.put(PERSON % "7", leader.vault.seal(PERSON % "7", msgspec.json.encode(old)), 900)
    assert await leader.sessions.persons_of(["s1"]) == [None]
    assert [person async for person in leader.sessions.logged_in()] == []
    await leader.log_in("s2")
    assert [person is not None for person in await leader.sessions.persons_of(["s1", "s2"])] == [False, True]


async def test_a_change_without_a_message_reaches_the_page() -> None:
    """A recheck sends the person again when the end of the login changed."""
    leader, sent = Leader(session_expires_in=900), list[dict[str, Any]]()
    await leader.log_in()

    def send(_: str, text: str) -> int:
        sent.append(msgspec.json.decode(text))
        return 1

    notifier = Notifier(
        leader.sessions,
        LoginFailures(leader.cache, leader.vault, publish=leader.published.append),
        send=send,
        has_streams=lambda _: True,
        open_sessions=list,
        monotonic=leader.clock,
        wall=leader.clock,
        poll_seconds=0.01,
    )
    notifier.stream_opened("s1")
    async with anyio.create_task_group() as tasks:
        await tasks.start(notifier.run)
        with anyio.fail_after(10):
            while not sent:
                await anyio.sleep(0.01)
            await leader.sessions.renewal_failed(await leader.person(), "a problem")
            ends = (await leader.person()).expires_at
            leader.clock.now += 31
            while len(sent) < 2:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert "problem" not in sent[0]
    assert (sent[1]["problem"], sent[1]["expires_at"]) == ("a problem", ends)


async def test_an_extension_is_told_though_the_sessions_were_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's record has the new end, so the pages show it."""
    leader = Leader()
    await leader.log_in()

    async def failing(*_: Any) -> None:
        raise CacheUnavailable("away")

    monkeypatch.setattr(leader.cache, "extend", failing)
    leader.clock.now += USE_SECONDS
    before = await leader.person()
    assert (await leader.sessions.record_use(before, "s1")).expires_at == before.expires_at + USE_SECONDS
    assert [one.kind for one in leader.published] == ["person", "person"]


async def test_each_browser_has_its_own_last_use() -> None:
    """A use is noted for its browser within ten minutes, and told to the others only when it extends the login."""
    leader = Leader()
    await leader.log_in("s1")
    await leader.log_in("s2")
    began, told = leader.clock.now, len(leader.published)
    leader.clock.now += USE_SECONDS
    await leader.sessions.record_use(await leader.person(), "s1")
    leader.clock.now += 10
    person = await leader.sessions.record_use(await leader.person(), "s2")
    assert [login.used - began for login in person.sessions.values()] == [USE_SECONDS, USE_SECONDS + 10]
    assert person.used == began + USE_SECONDS
    assert len(leader.published) == told + 1
    leader.clock.now += USE_SECONDS - 1
    assert await leader.sessions.record_use(person, "s2") == person


async def test_a_person_without_browsers_is_deleted() -> None:
    """When the last login is ended one by one, nothing of the person remains."""
    leader = Leader()
    await leader.log_in("s1")
    await leader.log_in("s2")
    assert await leader.sessions.end("s1")
    assert [one is None for one in await leader.sessions.persons_of(["s1", "s2"])] == [True, False]
    assert await leader.sessions.end("s2")
    assert not await leader.sessions.end("s2")
    names = [PERSON % "7", *(SESSION % session for session in ("s1", "s2"))]
    assert await leader.cache.get(*names) == [None, None, None]
