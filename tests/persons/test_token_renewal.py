"""Tokens are renewed as long as a login lives, never with more rights than requested, and failures are said."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.auth import READ_ONLY_SCOPE
from cryptomarket.errors import CacheUnavailable, ExchangeUnreachable
from cryptomarket.model import SessionChanged
from cryptomarket.persons.browser_sessions import PERSON, USE_SECONDS
from cryptomarket.persons.person import LIFE_SECONDS, MAX_LOGIN_SECONDS, Person
from cryptomarket.persons.person_door import key_doors
from cryptomarket.persons.token_renewal import NARROWED, NOT_RENEWED, WIDENED, retry_delay
from cryptomarket.persons.vault import fingerprint
from cryptomarket.simulator.switches import Switches

from .site import ADA, Browser, connection_event, running_persons
from .test_leader_worker import Leader

SCOPE = f"session:cryptomarket-s1 {READ_ONLY_SCOPE} expires:97200"
RIGHTS = {"account:read", "mainaccount", "session:cryptomarket-s1", "expires:97200"}


@asynccontextmanager
async def leading(scope: str = "", life_seconds: int = 900) -> AsyncIterator[Leader]:
    """A leader that runs, with one person logged in whose tokens live so long."""
    leader = Leader(scope, session_expires_in=life_seconds) if scope else Leader(session_expires_in=life_seconds)
    await leader.log_in()
    async with anyio.create_task_group() as tasks:
        await tasks.start(leader.worker.run)
        yield leader
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        ("account:read", True),
        ("account:read_write trade:read_write wallet:read", True),
        ("account:read block_rfq:read", True),
        ("account:read_write custody:read_write", True),
        ("trade:read", False),
        ("account:none", False),
    ],
)
async def test_only_a_grant_to_read_the_account_is_kept(scope: str, kept: bool) -> None:
    """Every kind of right of the key is requested not at all, but for reading the account."""
    leader = Leader(scope)
    await leader.log_in()
    assert (await leader.sessions.person("7") is not None) is kept


@pytest.mark.parametrize(("right", "kept"), [("staking:read", True), ("staking:read_write", False), ("all", False)])
async def test_of_a_new_kind_only_a_right_to_write_is_refused(right: str, kept: bool) -> None:
    """A kind that the scope cannot name is granted by the key."""
    leader = Leader()
    grant = {"access_token": "a", "refresh_token": "r", "expires_in": 900, "scope": f"account:read {right}"}
    leader.exchange.replies["public/auth"] = json.dumps(grant)
    leader.exchange.replies["private/get_account_summary"] = '{"id":7}'
    await leader.log_in()
    assert (await leader.sessions.person("7") is not None) is kept


@pytest.mark.parametrize("seconds", ["0", "-1", "0.001", "1e999", '"900"'])
async def test_tokens_that_have_expired_on_arrival_are_not_taken(seconds: str) -> None:
    """Each renewal of such tokens would be due at once."""
    leader = Leader()
    leader.exchange.replies["public/auth"] = (
        f'{{"access_token":"a","refresh_token":"r","expires_in":{seconds},"scope":"account:read"}}'
    )
    leader.exchange.replies["private/get_account_summary"] = '{"id":7}'
    await leader.log_in()
    assert await leader.sessions.person("7") is None


@pytest.mark.parametrize("life_seconds", [10, 900, 97_200, 31_536_000])
async def test_d1_a_login_outlives_its_tokens(life_seconds: int) -> None:
    """For 30 hours of use the tokens, of 10 seconds to a year, always live, and never have more rights."""
    async with leading(life_seconds=life_seconds) as leader:
        hours, step = (0.2, 1.0) if life_seconds == 10 else (30.0, 120.0)
        started = leader.clock.now
        while leader.clock.now < started + 3600 * hours:
            await leader.advance(step, step)
            person = await leader.person()
            grant = leader.exchange.exchange.state.accounts.grant_of(person.tokens.access, None)
            assert set(grant.scope) == set(person.scope.split()) == RIGHTS
            assert leader.clock.now + LIFE_SECONDS - USE_SECONDS - step <= person.expires_at
        renewals = [auth for auth in leader.exchange.calls_of("public/auth") if "refresh_token" in auth]
        assert {auth["scope"] for auth in renewals} == {SCOPE}
        life = min(life_seconds, LIFE_SECONDS)
        assert abs(len(renewals) - 3600 * hours / (0.8 * life)) <= 1 + 0.2 * len(renewals)
        assert leader.worker.statistics().renewals_failed == 0


async def test_d1_a_login_ends_27_hours_after_its_last_use() -> None:
    """Although its tokens are renewed until then; not a second before."""
    async with leading() as leader:
        await leader.advance(3600)
        ends = (await leader.person()).expires_at
        while leader.clock.now < ends - 60:
            leader.clock.now += 60
            await leader.settled()
        assert (await leader.person()).expires_at == ends
        leader.clock.now = ends
        assert await leader.sessions.person("7") is None
        await leader.settled()
        with anyio.fail_after(10):
            while len(leader.renewal):
                await anyio.sleep(0.001)
        assert await leader.cache.get(PERSON % "7") == [None]


async def test_a_login_ends_after_seven_days_of_use() -> None:
    """Until then it is extended; the end that is shown is the end."""
    async with leading(life_seconds=97_200) as leader:
        started = leader.clock.now
        await leader.advance(MAX_LOGIN_SECONDS - 3600, 900)
        assert (await leader.person()).expires_at == int(started) + MAX_LOGIN_SECONDS
        leader.clock.now = started + MAX_LOGIN_SECONDS
        assert await leader.sessions.person("7") is None


async def test_d1_a_wide_renewal_is_narrowed_before_it_is_stored() -> None:
    """The wide access token is neither stored nor used, and an operator can see it."""
    async with leading() as leader:
        leader.exchange.exchange.inject("widen")
        with capture_logs() as lines:
            await leader.advance(800)
        assert set((await leader.person()).scope.split()) == RIGHTS
        (line,) = [line for line in lines if line["event"] == "token renewal too wide"]
        assert "trade:read_write" in line["rights"]
        assert (leader.worker.statistics().renewals_wide, leader.worker.statistics().ended) == (1, 0)
        granted = leader.exchange.exchange.state.accounts._by_access
        assert [set(grant.scope) for grant in granted.values()] == [RIGHTS]
        await leader.account()
        assert leader.exchange.calls[-1][1] == {"access_token": (await leader.person()).tokens.access}


async def test_d1_a_renewal_that_stays_wide_ends_the_login() -> None:
    """And the person's sessions are told."""
    async with leading() as leader:
        leader.exchange.exchange.inject("widen", "100")
        leader.clock.now += 800
        await leader.settled()
        assert await leader.sessions.person("7") is None
        assert leader.published[-1] == SessionChanged(("s1",), "logged_out", WIDENED)
        assert leader.worker.statistics().renewals_wide == 1


async def test_d1_a_narrowed_key_ends_the_login_with_the_reason() -> None:
    """At the next renewal, since tokens that were issued keep their rights; a key that still may read goes on."""
    async with leading() as leader:
        leader.exchange.exchange.inject("narrow_key", "key account:read")
        await leader.advance(1800)
        assert leader.worker.statistics().ended == 0
        leader.exchange.exchange.inject("narrow_key", "key trade:read")
        leader.clock.now += 800
        await leader.settled()
        assert leader.published[-1] == SessionChanged(("s1",), "logged_out", NARROWED)
        assert await leader.sessions.person("7") is None


async def test_a_revoked_key_ends_the_login_once() -> None:
    """The person is notified, its record is deleted, and the exchange is not called again."""
    async with leading() as leader:
        leader.exchange.exchange.inject("revoke_key", "key")
        leader.clock.now += 800
        await leader.settled()
        assert [one.kind for one in leader.published] == ["person", "logged_out"]
        assert leader.published[-1].reason.startswith("expired")
        assert len(leader.exchange.calls_of("public/auth")) == 2
        assert len(leader.renewal) == 0


async def test_d1_a_failed_renewal_is_said_and_tried_again_while_the_pair_lives() -> None:
    """The end that is shown becomes the end of the tokens; when a renewal succeeds it is 27 hours again."""
    async with leading(life_seconds=10) as leader:
        started = leader.clock.now
        leader.exchange.raising["public/auth"] = ExchangeUnreachable("cut")
        with capture_logs() as lines:
            for _ in range(37):
                leader.clock.now += 0.25
                await leader.settled()
        failing = await leader.person()
        assert (failing.expires_at, failing.problem) == (int(started) + 10, NOT_RENEWED)
        assert [one.kind for one in leader.published] == ["person", "person"]
        failures = [line["reason"] for line in lines if line["event"] == "token renewal failed"]
        assert len(failures) == leader.worker.statistics().renewals_failed >= 3
        leader.exchange.raising.clear()
        leader.clock.now += 0.5
        await leader.settled()
        person = await leader.person()
        assert (person.problem, person.expires_at) == ("", int(started) + LIFE_SECONDS)
        assert [one.kind for one in leader.published] == 3 * ["person"]


async def test_d1_a_login_whose_renewal_fails_ends_with_its_tokens() -> None:
    """Use does not extend it beyond."""
    async with leading() as leader:
        leader.exchange.raising["public/auth"] = ExchangeUnreachable("cut")
        issued = leader.clock.now
        for _ in range(14):
            leader.clock.now += 60
            await leader.settled()
            await leader.sessions.record_use(await leader.person(), "s1")
        leader.clock.now = issued + 900
        assert await leader.sessions.person("7") is None
        assert leader.exchange.calls_of("public/auth")[2:]


@pytest.mark.parametrize("life", [0.5, 2.0, 180.0, 19_440.0, 6e6])
def test_retries_fit_the_rest_of_the_life(life: float) -> None:
    """At least three attempts are made before it ends; a long life is not filled with them."""
    left, attempts = life, 0
    while (left := left - retry_delay(attempts + 1, left)) > 0:
        attempts += 1
    assert 2 <= attempts <= 40 + life / 600


async def test_a_renewal_without_an_answer_counts_as_failed_until_it_comes() -> None:
    """A call that waits for the exchange is said; the answer is taken all the same."""
    async with leading() as leader:
        answer, call = anyio.Event(), leader.exchange.__call__

        async def slow(method: str, params: Any) -> msgspec.Raw:
            await answer.wait()
            return await call(method, params)

        leader.renewal._doors = key_doors(slow, exchange_time=leader.clock)
        leader.clock.now += 721
        with anyio.fail_after(10):
            while not leader.renewal._late:
                await anyio.sleep(0.001)
            leader.clock.now += 11
            while not (await leader.person()).problem:
                await anyio.sleep(0.001)
        answer.set()
        await leader.settled()
        assert (await leader.person()).problem == ""
        assert len([auth for auth in leader.exchange.calls_of("public/auth") if "refresh_token" in auth]) == 1


async def test_a_renewal_whose_answer_was_lost_ends_the_login() -> None:
    """The exchange has replaced the old pair, so the next attempt is refused; both are said."""
    async with leading() as leader:
        leader.exchange.losing.add("public/auth")
        leader.clock.now += 721
        await leader.settled()
        assert (await leader.person()).problem == NOT_RENEWED
        leader.exchange.losing.clear()
        leader.clock.now += 60
        await leader.settled()
        assert await leader.sessions.person("7") is None
        assert [one.kind for one in leader.published] == ["person", "person", "logged_out"]


async def test_a_leader_that_stops_finishes_its_renewals() -> None:
    """It starts no further one, and takes the answer of the one under way."""
    async with leading() as leader:
        answer, call = anyio.Event(), leader.exchange.__call__

        async def slow(method: str, params: Any) -> msgspec.Raw:
            raw = await call(method, params)
            await answer.wait()
            return raw

        leader.renewal._doors = key_doors(slow, exchange_time=leader.clock)
        leader.clock.now += 721
        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(10):
                while not leader.renewal._under_way:
                    await anyio.sleep(0.001)
            tasks.start_soon(leader.worker.finish)
            await anyio.sleep(0.02)
            answer.set()
        token = (await leader.person()).tokens.access
        assert leader.exchange.exchange.state.accounts.grant_of(token, None)
        leader.clock.now += 721
        await anyio.sleep(0.05)
        assert leader.worker.statistics().refreshed == 1


async def test_a_leader_that_stops_begins_no_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one whose person it was reading: the exchange would replace tokens that nobody stores any more."""
    async with leading() as leader:
        reading, answer, person = anyio.Event(), anyio.Event(), leader.sessions.person

        async def slow(person_id: str) -> Person | None:
            reading.set()
            await answer.wait()
            return await person(person_id)

        monkeypatch.setattr(leader.sessions, "person", slow)
        leader.clock.now += 721
        with anyio.fail_after(10):
            await reading.wait()
        await leader.worker.finish()
        answer.set()
        await anyio.sleep(0.05)
        assert len(leader.exchange.calls_of("public/auth")) == 1


async def test_new_tokens_wait_for_a_cache_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange has replaced the old pair, so they are stored when the cache is back."""
    async with leading() as leader:
        swap, failures = leader.cache.swap, list[str]()

        async def failing(*args: Any) -> bool:
            if len(failures) < 2:
                failures.append(args[0])
                raise CacheUnavailable("away")
            return await swap(*args)

        monkeypatch.setattr(leader.cache, "swap", failing)
        leader.clock.now += 721
        await leader.settled()
        with anyio.fail_after(10):
            while not leader.worker.statistics().refreshed:
                await anyio.sleep(0.01)
        token = (await leader.person()).tokens.access
        assert leader.exchange.exchange.state.accounts.grant_of(token, None)
        assert len(failures) == 2


async def test_new_tokens_whose_write_seemed_to_fail_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command to Redis may have been carried out although its reply was lost; the page is told all the same."""
    async with leading() as leader:
        swap, lost = leader.cache.swap, list[str]()

        async def without_a_reply(*args: Any) -> bool:
            swapped = await swap(*args)
            if not lost:
                lost.append(args[0])
                raise CacheUnavailable("no reply")
            return swapped

        monkeypatch.setattr(leader.cache, "swap", without_a_reply)
        leader.clock.now += 721
        await leader.settled()
        with anyio.fail_after(10):
            while not leader.worker.statistics().refreshed:
                await anyio.sleep(0.01)
        assert [one.kind for one in leader.published] == ["person", "person"]


async def test_a_new_leader_goes_on_with_the_logins_of_the_last() -> None:
    """Also with tokens that expired meanwhile: the refresh token may live."""
    leader = Leader(session_expires_in=900)
    await leader.log_in()
    leader.clock.now += 1000
    await leader.run_until(lambda: leader.worker.statistics().refreshed)
    assert leader.exchange.exchange.state.accounts.grant_of((await leader.person()).tokens.access, None)


async def test_d1_an_open_page_stays_logged_in_beyond_the_life_of_its_tokens(tmp_path: Path) -> None:
    """Over real sockets: the account can be read for several lives, and who is logged in agrees with it."""
    lives = {"switches": Switches(session_expires_in=2, refresh_keeps_scope=False)}
    async with running_persons(tmp_path, exchange=lives) as site:
        browser: Browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            shown = await connection_event(tab, "person")
            until = time.monotonic() + 5
            while time.monotonic() < until:
                account, me = await browser.client.get("/api/v1/persons/me/account"), await browser.me()
                assert (account.status_code, me.status_code) == (200, 200)
                shown = await connection_event(tab, "person", "login_failed", "logged_out")
                assert {name: shown[name] for name in me.json()} == me.json()
                session = fingerprint(browser.client.cookies["cryptomarket_session"])[:16]
                assert set(shown["scope"].split()) == (RIGHTS - {"session:cryptomarket-s1"}) | {
                    f"session:cryptomarket-{session}"
                }
