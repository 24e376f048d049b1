"""What the leader does for persons over time: balances, tokens that are renewed, logins that end."""

import json
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from cryptomarket.deribit.auth import READ_ONLY_SCOPE, excess_rights
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.model import SessionChanged
from cryptomarket.persons.browser_sessions import LIFE_SECONDS, PERSON, BrowserSessions
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.credential_middleware import CIPHERTEXT, KEY
from cryptomarket.persons.failure_throttle import FailureThrottle
from cryptomarket.persons.leader_worker import LeaderRequest, LeaderWorker
from cryptomarket.persons.limits import Limits
from cryptomarket.persons.login_flow import LoginFlow
from cryptomarket.persons.vault import Vault

from .site import ADA, running_persons, told
from .test_vault import Clock, new_key

SCOPE = "account:read session:cryptomarket-x mainaccount expires:97200"


class Exchange:
    """The far end of the calls: one person, tokens that are counted, errors on demand."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.scope = SCOPE
        self.refuse: dict[str, Exception] = {}
        self.life = LIFE_SECONDS
        self.person_id = 7

    async def __call__(self, method: str, params: Any) -> msgspec.Raw:
        self.calls.append((method, dict(params)))
        await anyio.lowlevel.checkpoint()
        if method in self.refuse:
            raise self.refuse[method]
        number = len(self.calls)
        grant = {
            "access_token": f"a{number}",
            "refresh_token": f"r{number}",
            "expires_in": self.life,
            "scope": self.scope,
        }
        row = {"currency": "BTC", "equity": 1.50, "balance": 1, "available_funds": 0}
        answers: dict[str, Any] = {
            "public/auth": grant,
            "private/get_account_summary": {"id": self.person_id, "username": "ada", "email": "ada@example.com"},
            "private/get_account_summaries": {"summaries": [row]},
        }
        return msgspec.Raw(json.dumps(answers[method]).encode())

    def asked(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every call of the method."""
        return [params for name, params in self.calls if name == method]


class World:
    """A service over a memory cache, with a clock that the test moves."""

    def __init__(self) -> None:
        self.clock, self.exchange, self.cache = Clock(), Exchange(), MemoryCache()
        key = new_key()
        self.vault = Vault(lambda: (key,), wall=self.clock)
        self.sessions = BrowserSessions(self.cache, self.vault, wall=self.clock)
        self.limits = Limits(self.cache, per_minute=1_000, wall=self.clock)
        self.news: list[SessionChanged] = []
        login = LoginFlow(self.exchange, self.cache, self.vault, self.sessions, self.limits, wall=self.clock)
        self.service = LeaderWorker(
            self.exchange,
            self.cache,
            self.sessions,
            login,
            publish=self.news.append,
            monotonic=self.clock,
            wall=self.clock,
            look_seconds=0.01,
        )

    async def log_in(self, session: str = "s1", login: str = "l1") -> None:
        """A log-in as the intake leaves it, done by the service."""
        ciphertext, key = self.vault.close_secret(bytearray(b"secret"))
        await self.cache.put(CIPHERTEXT % login, ciphertext, 15)
        wrapped = self.vault.seal(KEY % login, msgspec.json.encode(("key", key)))
        await self.cache.put(KEY % login, wrapped, 15)
        await self.service.handle(msgspec.json.encode(LeaderRequest("login", login=login, session=session, who="w")))

    async def account(self) -> Any:
        """What the leader answers about the person's account."""
        return json.loads(await self.service.handle(msgspec.json.encode(LeaderRequest("account", person_id="7"))))

    async def until(self, condition: Any) -> None:
        """Let the service run until something is true."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.service.run)
            with anyio.fail_after(60):
                while not condition():
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


async def test_the_secret_never_travels_and_is_taken_once() -> None:
    """Upstream gets a signature; the halves of the secret are gone, and the same errand again says what it did."""
    world = World()
    await world.log_in()
    (auth,) = world.exchange.asked("public/auth")
    assert auth["grant_type"] == "client_signature"
    assert "secret" not in str(auth)
    assert "account:read wallet:none trade:none block_trade:none expires:97200" in auth["scope"]
    assert [name async for name in world.cache.names("deribit:login:")] == []
    assert world.news == [SessionChanged(("s1",), "person")]
    await world.service.handle(msgspec.json.encode(LeaderRequest("login", login="l1", session="s1", who="w")))
    assert world.news == 2 * [SessionChanged(("s1",), "person")]
    await world.service.handle(msgspec.json.encode(LeaderRequest("login", login="l0", session="s1", who="w")))
    assert world.news[-1].kind == "login_failed"
    assert len(world.exchange.asked("public/auth")) == 1


@pytest.mark.parametrize(
    ("code", "says"),
    [(13004, "check the client id"), (12003, "wait some minutes"), (11051, "maintenance"), (13021, "account:read")],
)
async def test_every_refusal_says_what_to_do(code: int, says: str) -> None:
    """The sentence is one a person can act on, and the person alone is told."""
    world = World()
    world.exchange.refuse["public/auth"] = ExchangeRefused("public/auth", code, "m")
    await world.log_in()
    ((sessions, kind, reason),) = [(one.sessions, one.kind, one.reason) for one in world.news]
    assert (sessions, kind) == (("s1",), "login_failed")
    assert says in reason
    assert await world.sessions.person("7") is None


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        (SCOPE, True),
        (f"{SCOPE} trade:none wallet:none", True),
        (f"{SCOPE} trade:read", False),
        (f"{SCOPE} wallet:read_write", False),
        ("account:read_write session:x", False),
        (f"{SCOPE} something_new:read", False),
        ("session:x mainaccount", False),
        ("account:none", False),
    ],
)
async def test_a_grant_that_is_wider_is_not_kept(scope: str, kept: bool) -> None:
    """Only reading the account is accepted; more, or less, leaves nothing behind."""
    world = World()
    world.exchange.scope = scope
    await world.log_in()
    assert (await world.sessions.person("7") is not None) is kept
    too_wide = bool(excess_rights(scope, READ_ONLY_SCOPE))
    assert too_wide is (not kept and "account:none" not in scope and scope != "session:x mainaccount")


async def test_tokens_are_renewed_while_somebody_is_there() -> None:
    """At 80 % of their life, by the refresh token; the streams are told; the session stays bound."""
    world = World()
    await world.log_in()
    world.clock.now += 0.7 * LIFE_SECONDS
    await world.sessions.note("7")
    world.clock.now += 0.11 * LIFE_SECONDS
    before = await world.sessions.person("7")
    await world.until(lambda: world.service.counts["refreshed"])
    person = await world.sessions.person("7")
    assert before is not None
    assert person is not None
    assert world.exchange.asked("public/auth")[-1] == {
        "grant_type": "refresh_token",
        "refresh_token": before.tokens.refresh,
    }
    assert person.tokens != before.tokens
    assert person.expires_at == int(world.clock.now) + LIFE_SECONDS
    assert world.news[-1] == SessionChanged(("s1",), "person")
    assert [one.person_id for one in await world.sessions.of_sessions(["s1"]) if one] == ["7"]


async def test_tokens_of_who_is_gone_are_left_to_end() -> None:
    """Nobody was there since they came: they are not renewed, and the login ends by itself."""
    world = World()
    await world.log_in()
    world.clock.now += 0.9 * LIFE_SECONDS
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.service.run)
        await anyio.sleep(0.1)
        tasks.cancel_scope.cancel()
    assert len(world.exchange.asked("public/auth")) == 1
    world.clock.now += 0.11 * LIFE_SECONDS
    assert await world.sessions.person("7") is None


async def test_a_dead_refresh_token_ends_the_login_once() -> None:
    """The exchange does not know it any more: told once, wiped, and not asked again."""
    world = World()
    await world.log_in()
    world.clock.now += 0.8 * LIFE_SECONDS + 1
    await world.sessions.note("7")
    world.exchange.refuse["public/auth"] = ExchangeRefused("public/auth", 13009, "unauthorized")
    await world.until(lambda: world.service.counts["ended"])
    assert [one.kind for one in world.news] == ["person", "login_failed"]
    assert world.news[-1].reason.startswith("expired")
    assert await world.sessions.person("7") is None
    await world.until(lambda: True)
    assert len(world.exchange.asked("public/auth")) == 2


async def test_a_renewal_that_fails_by_accident_is_tried_again() -> None:
    """The network is no reason to log anybody out."""
    world = World()
    await world.log_in()
    world.clock.now += 0.8 * LIFE_SECONDS + 1
    await world.sessions.note("7")
    world.exchange.refuse["public/auth"] = ExchangeUnreachable("cut")
    await world.until(lambda: len(world.exchange.asked("public/auth")) == 2)
    assert await world.sessions.person("7") is not None
    world.exchange.refuse.clear()
    world.clock.now += 61
    await world.until(lambda: world.service.counts["refreshed"])


async def test_balances_are_asked_once_for_many_tabs() -> None:
    """Within five seconds the exchange is asked once, with the person's own token; digits stay as they came."""
    world = World()
    await world.log_in()
    first = await world.account()
    assert first == {"accounts": [{"currency": "BTC", "equity": 1.5, "balance": 1, "available_funds": 0}]}
    assert await world.account() == first
    person = await world.sessions.person("7")
    assert person is not None
    assert world.exchange.asked("private/get_account_summaries") == [{"access_token": person.tokens.access}]
    world.clock.now += 6
    await world.account()
    assert len(world.exchange.asked("private/get_account_summaries")) == 2


async def test_a_revoked_token_ends_the_login_at_the_next_call() -> None:
    """Unauthorized upstream: the person is told once, and nothing is kept."""
    world = World()
    await world.log_in()
    refused = ExchangeRefused("private/get_account_summaries", 13009, "unauthorized")
    world.exchange.refuse["private/get_account_summaries"] = refused
    assert await world.account() == {"gone": True}
    assert await world.account() == {"gone": True}
    assert [one.kind for one in world.news] == ["person", "login_failed"]


async def test_an_answer_about_old_tokens_does_not_end_a_new_login() -> None:
    """Who logged in again while the old tokens were refused stays logged in."""
    world = World()
    await world.log_in()
    old = await world.sessions.person("7")
    await world.log_in(login="l2")
    assert old is not None
    await world.service._end(old, "x")
    assert await world.sessions.person("7") is not None


async def test_logging_out_during_a_renewal_wins() -> None:
    """A person that was forgotten meanwhile is not written back."""
    world = World()
    await world.log_in()
    person = await world.sessions.person("7")
    assert person is not None
    await world.sessions.end("7")
    assert not await world.sessions.write(person, only_over=True)
    assert await world.cache.get(PERSON % "7") == [None]


async def test_many_browsers_of_one_person_stay_bounded() -> None:
    """The session bound longest ago goes when there are too many; the others stay."""
    world = World()
    for number in range(40):
        await world.log_in(f"s{number}", f"l{number}")
    found = await world.sessions.of_sessions([f"s{number}" for number in range(40)])
    assert [person is not None for person in found] == [False] * 8 + [True] * 32


async def test_failures_run_out_of_patience() -> None:
    """Failures in a row are free up to a number; then each log-in waits until one is forgiven."""
    clock = Clock()
    patience = FailureThrottle(burst=3, forgiven_per_second=1, monotonic=clock)
    for _ in range(3):
        with anyio.fail_after(60):
            await patience.wait()
        patience.failed()
    with anyio.move_on_after(0.05) as waiting:
        await patience.wait()
    assert waiting.cancelled_caught
    clock.now += 1
    with anyio.fail_after(60):
        await patience.wait()


async def test_expiry_is_told_within_a_second(tmp_path: Path) -> None:
    """When the 27 hours are over, the stream is told and the cookie opens nothing."""
    async with running_persons(tmp_path, exchange={"faults": ()}) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            person = await told(tab, "person")
            await site.gateway.office.cache.delete(PERSON % person["person_id"])
            notifier = site.gateway.office.notifier
            notifier._checked = float("-inf")
            assert (await told(tab, "logged_out"))["reason"].startswith("expired")
        assert (await browser.me()).status_code == 401
