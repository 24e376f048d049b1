"""The leader's part for persons: logins, balances, tokens that are renewed, logins that end."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from cryptomarket.deribit.auth import READ_ONLY_SCOPE, write_rights
from cryptomarket.errors import CacheUnavailable
from cryptomarket.model import LoginsWaiting, SessionChanged
from cryptomarket.persons.accounts import AccountReader
from cryptomarket.persons.authenticator import Authenticator
from cryptomarket.persons.browser_sessions import PERSON, BrowserSessions
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.leader_requests import AccountRequest, LoginRequest, LoginsRequest
from cryptomarket.persons.leader_worker import LeaderWorker
from cryptomarket.persons.limits import LoginLimits
from cryptomarket.persons.login_flow import NO_ANSWER, NO_CACHE, LoginFlow
from cryptomarket.persons.login_secrets import LoginSecrets
from cryptomarket.persons.notifications import FAILURE, POLL_SECONDS, LoginFailures, Notifier
from cryptomarket.persons.person import Person
from cryptomarket.persons.person_door import key_doors
from cryptomarket.persons.session_cookies import SessionCookies
from cryptomarket.persons.token_renewal import TokenRenewal
from cryptomarket.persons.vault import Vault
from cryptomarket.persons.waiting_logins import WaitingLogins
from cryptomarket.public_site import ANY_SITE
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.coinbase_keys import new_key_pair
from cryptomarket.simulator.scopes import FULL

from .simulated import SimulatedCalls
from .site import ADA, connection_event, running_persons
from .test_vault import Clock, new_key

SEVEN = SimulatedAccount("key", "secret", "ada@example.com", "ada", 7)
EIGHT = SimulatedAccount("key8", "secret", "bob@example.com", "bob", 8)


class Leader:
    """The leader's parts over a memory cache and the simulated exchange, with a clock that the test moves.

    ``scope`` is the widest scope of the key of person 7; ``switches`` are the exchange's.
    """

    def __init__(self, scope: str = FULL, **switches: Any) -> None:
        self.clock = Clock()
        self.exchange = SimulatedCalls((replace(SEVEN, scope=scope), EIGHT), self.clock, **switches)
        self.cache = MemoryCache(monotonic=self.clock)
        key = new_key()
        self.vault = Vault(lambda: (key,), wall=self.clock)
        self.published: list[SessionChanged] = []
        self.waiting: list[LoginsWaiting] = []
        self.sessions = BrowserSessions(self.cache, self.vault, publish=self.published.append, wall=self.clock)
        doors = key_doors(self.exchange, exchange_time=self.exchange.clock.now)
        self.renewal = TokenRenewal(
            doors, self.sessions, publish=self.published.append, wall=self.clock, longest_wait_seconds=0.01
        )
        accounts = AccountReader(
            doors, self.sessions, renew=self.renewal.renew, end=self.renewal.end, monotonic=self.clock
        )
        login_secrets = LoginSecrets(self.cache, self.vault)
        self.limits = LoginLimits(self.cache, self.vault.keyring.sign, per_minute=1_000, wall=self.clock)
        self.login_flow = LoginFlow(
            doors,
            login_secrets,
            self.sessions,
            self.limits,
            LoginFailures(self.cache, self.vault, publish=self.published.append),
            publish=self.published.append,
            on_login=(self.renewal.add, accounts.forget),
            wall=self.clock,
        )
        flow = self.login_flow
        logins = WaitingLogins(
            flow.log_in,
            flow.refuse,
            login_secrets,
            failures=self.limits.failures,
            publish=self.waiting.append,
            most_per_address=1_000,
            wall=self.clock,
        )
        self.worker = LeaderWorker(flow, logins, accounts, self.renewal)

    async def log_in(self, session: str = "s1", client_id: str = "key") -> LoginRequest:
        """Store a secret as the middleware does, and handle the request to log in with it."""
        login_id = await LoginSecrets(self.cache, self.vault).put(client_id, bytearray(b"secret"))
        return await self.handle_login(LoginRequest(login_id, session, "client", "192.0.2.1", self.clock.now))

    async def handle_login(self, request: LoginRequest) -> LoginRequest:
        """Serve a request to log in, whose turn has come."""
        await self.login_flow.log_in(request)
        return request

    async def account(self, person_id: str = "7", session: str = "s1") -> Any:
        """The leader's reply about the balances of a person."""
        return json.loads(await self.worker.handle(msgspec.json.encode(AccountRequest(person_id, session))))

    async def advance(self, seconds: float, step: float = 60.0) -> None:
        """Move the clock in steps, the person 7 being here, while `run_until` runs the worker."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + step)
            await self.sessions.record_use(await self.person(), "s1")
            await self.settled()

    async def settled(self) -> None:
        """Wait until no tokens are due."""
        with anyio.fail_after(60):
            while any(due <= self.clock.now or due == math.inf for due in self.renewal._due.values()):
                await anyio.sleep(0.001)

    async def person(self) -> Person:
        """Person 7, who must be logged in."""
        person = await self.sessions.person("7")
        assert person is not None
        return person

    async def run_until(self, condition: Callable[[], object]) -> None:
        """Run the worker until something is true."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.worker.run)
            with anyio.fail_after(60):
                while not condition():
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()


async def test_a_secret_is_taken_once_and_never_sent() -> None:
    """The exchange receives a signature, and the cache no longer has the secret."""
    leader = Leader()
    await leader.log_in()
    (auth,) = leader.exchange.calls_of("public/auth")
    assert auth["grant_type"] == "client_signature"
    assert "secret" not in str(auth)
    assert f"{READ_ONLY_SCOPE} expires:97200" in auth["scope"]
    assert [name async for name in leader.cache.names("deribit:login:")] == []
    assert leader.published == [SessionChanged(("s1",), "person")]


@pytest.mark.parametrize("any_kind_none", [True, False])
async def test_a_key_with_every_right_logs_in_for_reading(any_kind_none: bool) -> None:
    """A person's key has all kinds of rights, as at the exchange, and only reading is granted and kept.

    An exchange that does not know all the words of the scope is asked for the documented ones.
    """
    rights = FULL if any_kind_none else "account:read_write trade:read_write wallet:read_write"
    leader = Leader(rights, any_kind_none=any_kind_none)
    await leader.log_in()
    assert leader.published == [SessionChanged(("s1",), "person")]
    assert write_rights((await leader.person()).scope) == []


async def test_a_person_is_not_told_to_check_a_right_secret_because_of_a_clock() -> None:
    """A signature that is old by the exchange's clock is no wrong key, and is not counted as one; the next one fits."""
    leader = Leader()
    leader.exchange.exchange.inject("skew", "90")
    await leader.log_in()
    assert leader.published == [SessionChanged(("s1",), "login_failed", NO_ANSWER)]
    assert await leader.limits.failures(["192.0.2.1"]) == {"192.0.2.1": 0}
    await leader.log_in()
    assert leader.published[1:] == [SessionChanged(("s1",), "person")]


async def test_a_person_logs_in_with_a_key_pair() -> None:
    """The private key signs and is never sent."""
    pair, leader = new_key_pair(), Leader()
    leader.exchange.exchange.state.accounts.known["pair"] = SimulatedAccount("pair", number=9, public_key=pair.public)
    login_id = await LoginSecrets(leader.cache, leader.vault).put("pair", bytearray(pair.private.encode()))
    await leader.handle_login(LoginRequest(login_id, "s1", "client", "192.0.2.1", leader.clock.now))
    assert leader.published == [SessionChanged(("s1",), "person")]
    assert "PRIVATE" not in str(leader.exchange.calls)


async def test_a_repeated_request_publishes_its_outcome_again() -> None:
    """A request that arrives twice logs in once; one whose secret is gone fails."""
    leader = Leader()
    request = await leader.log_in()
    await leader.handle_login(request)
    assert leader.published == 2 * [SessionChanged(("s1",), "person")]
    await leader.handle_login(LoginRequest("unknown", "s1", "client", "192.0.2.1", 0.0))
    assert leader.published[-1].kind == "login_failed"
    assert len(leader.exchange.calls_of("public/auth")) == 1


async def test_an_unknown_request_is_answered() -> None:
    """A request of another version gets a reply that says so."""
    for body in (b"{}", b"x", b'{"kind":"something"}', b'{"kind":"logins"}'):
        assert "does not know" in json.loads(await Leader().worker.handle(body))["failed"]


async def test_requests_keep_their_bytes() -> None:
    """Nodes of different versions understand each other during an upgrade."""
    logins = LoginsRequest([LoginRequest("l1", "s1", "c1", "192.0.2.1", 1.5)])
    assert msgspec.json.encode(logins) == (
        b'{"kind":"logins","logins":[{"login":"l1","session":"s1","client":"c1","address":"192.0.2.1","at":1.5,'
        b'"browser":"","door":"deribit"}]}'
    )
    assert msgspec.json.encode(AccountRequest("7", "s1")) == b'{"kind":"account","person_id":"7","session":"s1"}'


@pytest.mark.parametrize(
    ("code", "sentence"),
    [(13004, "check the client id"), (12003, "wait some minutes"), (11051, "maintenance"), (13021, "account:read")],
)
async def test_every_refusal_tells_the_person_what_to_do(code: int, sentence: str) -> None:
    """Only the session of the login is notified."""
    leader = Leader()
    leader.exchange.exchange.inject("error", f"public/auth:{code}")
    await leader.log_in()
    (message,) = leader.published
    assert (message.sessions, message.kind) == (("s1",), "login_failed")
    assert sentence in message.reason
    assert await leader.sessions.person("7") is None


@pytest.mark.parametrize("command", ["take", "put"])
async def test_a_cache_that_is_away_is_not_blamed_on_the_exchange(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the log-in at the exchange nor after it; balances as well."""
    leader = Leader()
    login_id = await LoginSecrets(leader.cache, leader.vault).put("key", bytearray(b"secret"))

    async def away(*_: Any) -> Any:
        raise CacheUnavailable("away")

    monkeypatch.setattr(leader.cache, command, away)
    await leader.handle_login(LoginRequest(login_id, "s1", "client", "192.0.2.1", leader.clock.now))
    assert leader.published == [SessionChanged(("s1",), "login_failed", NO_CACHE)]
    monkeypatch.setattr(leader.cache, "get", away)
    assert await leader.account() == {"failed": NO_CACHE}


async def test_a_wrong_key_is_told_though_it_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache that counts failures went away during the log-in."""
    leader = Leader()

    async def away(*_: Any) -> Any:
        raise CacheUnavailable("away")

    monkeypatch.setattr(leader.cache, "count", away)
    await leader.log_in(client_id="unknown")
    assert "check the client id" in leader.published[-1].reason


async def test_balances_are_read_once_for_many_tabs() -> None:
    """Within five seconds one call is made, with the person's own token; the exchange's digits are not changed."""
    leader = Leader()
    await leader.log_in()
    first = await leader.account()
    assert first["accounts"][0] == {"currency": "BTC", "equity": 10.0, "balance": 10.0, "available_funds": 10.0}
    assert await leader.account() == first
    tokens = (await leader.person()).tokens
    assert leader.exchange.calls_of("private/get_account_summaries") == [{"access_token": tokens.access}]
    leader.clock.now += 6
    await leader.account()
    assert len(leader.exchange.calls_of("private/get_account_summaries")) == 2


async def test_balances_are_for_the_session_that_is_logged_in_as_the_person() -> None:
    """A node that names another session or another person gets nothing, and nothing is asked of the exchange."""
    leader = Leader()
    await leader.log_in()
    for person_id, session in (("7", "s2"), ("8", "s1"), ("7", "")):
        assert await leader.account(person_id, session) == {"gone": True}
    assert leader.exchange.calls_of("private/get_account_summaries") == []
    assert "accounts" in await leader.account()


async def test_the_kept_failure_of_a_login_is_what_a_node_wrote() -> None:
    """Neither another sentence in Redis nor the record of another session reaches the person."""
    leader = Leader()
    failures = LoginFailures(leader.cache, leader.vault, publish=leader.published.append)
    await failures.notify("s1", "the key is wrong")
    (record,) = await leader.cache.get(FAILURE % "s1")
    assert record is not None
    await leader.cache.put(FAILURE % "s2", record, 60)
    await leader.cache.put(FAILURE % "s3", b"visit https://evil.example", 60)
    assert await failures.kept(["s1", "s2", "s3", "s4"]) == ["the key is wrong", None, None, None]


async def test_d11_balances_are_plain_decimals_and_null_where_there_is_no_number() -> None:
    """The exchange's exponents are written out, digit by digit; what is no number ends nothing."""
    leader = Leader()
    await leader.log_in()
    leader.exchange.replies["private/get_account_summaries"] = (
        '{"summaries":[{"currency":"USDC","equity":1.0e5,"balance":2.50e-7,"available_funds":-1.25E+1},'
        '{"currency":"BTC","equity":"1.5","balance":null},'
        '{"currency":"ETH","equity":[1],"balance":1e999,"available_funds":0.10}]}'
    )
    reply = await leader.worker.handle(msgspec.json.encode(AccountRequest("7", "s1")))
    assert reply.decode() == (
        '{"accounts":[{"currency":"USDC","equity":100000,"balance":0.000000250,"available_funds":-12.5},'
        '{"currency":"BTC","equity":null,"balance":null,"available_funds":null},'
        '{"currency":"ETH","equity":null,"balance":null,"available_funds":0.10}]}'
    )


async def test_a_log_out_that_is_repeated_notifies_nobody() -> None:
    """Two requests of one person at once: the second must not make every node read all of its sessions."""
    leader = Leader()
    await leader.log_in()
    cookies, person = SessionCookies(leader.vault.keyring, ANY_SITE), await leader.person()
    authenticator = Authenticator(leader.sessions, cookies, ANY_SITE, publish=leader.published.append)
    for _ in range(2):
        await authenticator.log_out(person)
    assert leader.published[1:] == [SessionChanged(("s1",), "logged_out", "logged out")]


async def test_a_revoked_token_ends_the_login_at_the_next_call() -> None:
    """After one renewal that is refused too; the person is notified once, and its record is deleted."""
    leader = Leader()
    await leader.log_in()
    leader.exchange.exchange.inject("revoke_tokens")
    assert await leader.account() == {"gone": True}
    assert await leader.account() == {"gone": True}
    assert [one.kind for one in leader.published] == ["person", "logged_out"]
    assert await leader.sessions.person("7") is None


async def test_d1_a_dead_token_is_renewed_once_by_the_call_that_meets_it() -> None:
    """The balances arrive, with the new token; the login goes on."""
    leader = Leader()
    await leader.log_in()
    before = await leader.person()
    leader.exchange.exchange.inject("expire_tokens")
    assert "BTC" in str(await leader.account())
    assert (await leader.person()).tokens != before.tokens
    assert leader.worker.statistics().ended == 0


async def test_the_refusal_of_old_tokens_does_not_end_a_new_login() -> None:
    """A person who logged in again meanwhile stays logged in."""
    leader = Leader()
    await leader.log_in()
    old = await leader.person()
    await leader.log_in()
    await leader.renewal.end(old)
    assert await leader.sessions.person("7") is not None


async def test_the_sessions_of_a_person_are_bounded() -> None:
    """With too many, the person is logged out where the login is oldest."""
    leader = Leader()
    for number in range(40):
        await leader.log_in(f"s{number}")
    found = await leader.sessions.persons_of([f"s{number}" for number in range(40)])
    assert [person is not None for person in found] == [False] * 8 + [True] * 32


class CountingClock(Clock):
    """A clock that counts its readings."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return super().__call__()


async def test_an_expiry_is_sent_within_a_second() -> None:
    """The first or second look after the expiry sends it, without a message, and looks are half a second apart."""
    leader, looks, sent = Leader(), CountingClock(), list[str]()
    await leader.log_in()

    def send(_: str, text: str) -> int:
        sent.append(json.loads(text)["kind"])
        return 1

    notifier = Notifier(
        leader.sessions,
        LoginFailures(leader.cache, leader.vault, publish=leader.published.append),
        send=send,
        has_streams=lambda _: True,
        open_sessions=list,
        wall=looks,
        poll_seconds=0.01,
    )
    notifier.stream_opened("s1")
    async with anyio.create_task_group() as tasks:
        await tasks.start(notifier.run)
        with anyio.fail_after(60):
            while looks.readings < 3:
                await anyio.sleep(0.01)
        assert sent == ["person"]
        before = looks.readings
        leader.clock.now = looks.now = (await leader.person()).expires_at
        while "logged_out" not in sent and looks.readings <= before + 2:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert sent == ["person", "logged_out"]
    assert 2 * POLL_SECONDS <= 1


async def test_a_login_that_ended_without_a_message_is_noticed(tmp_path: Path) -> None:
    """A recheck sends the end to the stream, and the cookie opens nothing."""
    async with running_persons(tmp_path, exchange={"faults": ()}) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            person = await connection_event(tab, "person")
            persons = site.gateway.persons
            await persons.sessions._cache.delete(PERSON % person["person_id"])
            persons.notifier._rechecked = float("-inf")
            assert (await connection_event(tab, "logged_out"))["reason"].startswith("expired")
        assert (await browser.me()).status_code == 401
