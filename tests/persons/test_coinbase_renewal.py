"""The bearer of a person of Coinbase is renewed within the hour, and the single-use refresh token is never lost."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from cryptomarket.errors import CacheUnavailable, ExchangeError, ExchangeUnreachable
from cryptomarket.persons import token_renewal
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.person import Person
from cryptomarket.persons.token_renewal import ENDED, REFRESHING_SECONDS, WIDENED
from cryptomarket.persons.vault import Vault
from cryptomarket.simulator.accounts import SimulatedAccount

from .simulated_coinbase import Coinbase, CoinbaseLeader, VirtualClock
from .test_vault import new_key

SEVEN = SimulatedAccount("seven", "", "ada@example.com", "ada", 7)
EIGHT = SimulatedAccount("eight", "", "bob@example.com", "bob", 8)


class FailingCache(MemoryCache):
    """A cache whose writes fail while ``away``."""

    away = False

    async def swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None = None) -> bool:
        if self.away:
            raise CacheUnavailable("away")
        return await super().swap(name, old, new, seconds)


class World:
    """One person who is logged in, and the leaders that a test starts."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.coinbase = Coinbase([SEVEN, EIGHT], self.clock, self.clock.sleep)
        self.cache = FailingCache(monotonic=self.clock)
        key = new_key()
        self.vault = Vault(lambda: (key,), wall=self.clock)
        self.leader = self.new_leader()

    def new_leader(self) -> CoinbaseLeader:
        """Another leader over the same records."""
        return CoinbaseLeader(self.coinbase, self.cache, self.vault, self.clock)

    async def person(self) -> Person:
        """The person, who must be logged in."""
        found = await self.leader.sessions.person("coinbase-7")
        assert found is not None
        return found

    async def renew(self, leader: CoinbaseLeader | None = None) -> Person | None:
        """Renew now."""
        return await (leader or self.leader).renewal.renew(await self.person())

    def later(self, minutes: float) -> None:
        """Let time pass."""
        self.clock.advance_to(self.clock.now + 60 * minutes)


@asynccontextmanager
async def logged_in() -> AsyncIterator[World]:
    """A world whose person has logged in."""
    world = World()
    assert await world.leader.log_in(SEVEN, "s1") is not None
    yield world


async def test_the_bearer_is_renewed_with_the_same_access_token_within_the_hour() -> None:
    """Of five renewals in an hour one uses the refresh token; each old bearer still works until it expires."""
    async with logged_in() as world:
        first = await world.person()
        for _ in range(3):
            world.later(12)
            await world.renew()
        third = await world.person()
        assert third.tokens.access != first.tokens.access
        assert third.tokens.oauth == first.tokens.oauth
        world.later(12)  # 48 minutes: 80 % of the hour
        await world.renew()
        fourth = await world.person()
        assert fourth.tokens.oauth is not None
        assert fourth.tokens.oauth != third.tokens.oauth
        assert fourth.refreshing == 0.0
        assert (await world.leader.balances("coinbase-7", "s1")).accounts


async def test_the_next_refresh_token_is_stored_before_the_bearer_is_requested() -> None:
    """When the exchange is away after the login server answered, nothing is lost and the next attempt needs no more."""
    async with logged_in() as world:
        world.later(50)
        before = await world.person()
        world.coinbase.calls.away = True
        with pytest.raises(ExchangeUnreachable):
            await world.renew()
        stored = await world.person()
        assert stored.tokens.oauth != before.tokens.oauth
        assert stored.problem
        world.coinbase.calls.away = False
        refreshes = len(world.coinbase.logins.sent)
        assert await world.renew() is not None
        assert len(world.coinbase.logins.sent) == refreshes
        assert not (await world.person()).problem


async def test_a_cache_that_takes_no_writes_is_noticed_before_the_token_is_used() -> None:
    """Its successor could not be stored."""
    async with logged_in() as world:
        world.later(50)
        world.cache.away, sent = True, len(world.coinbase.logins.sent)
        with pytest.raises(CacheUnavailable), anyio.fail_after(5):
            await world.renew()
        assert len(world.coinbase.logins.sent) == sent
        world.cache.away = False
        assert await world.renew() is not None


async def test_a_cache_that_goes_away_during_the_refresh_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor is kept in memory until it can be stored."""
    monkeypatch.setattr(token_renewal, "STORE_SECONDS", 0.005)
    async with logged_in() as world:
        world.later(50)

        async def lose_cache() -> None:
            world.cache.away = True
            await anyio.lowlevel.checkpoint()

        world.coinbase.logins.between = lose_cache
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.renew)
            await anyio.sleep(0.02)
            world.cache.away = False
        assert await world.renew() is not None


async def test_two_leaders_never_use_one_refresh_token() -> None:
    """A leader that lost the lead without knowing it, and the next one: one uses the token, the other waits."""
    async with logged_in() as world:
        world.later(50)
        other, errors = world.new_leader(), []

        async def renew(leader: CoinbaseLeader) -> None:
            try:
                await world.renew(leader)
            except ExchangeUnreachable as exc:
                errors.append(str(exc))

        async with anyio.create_task_group() as tasks:
            for leader in (world.leader, other):
                tasks.start_soon(renew, leader)
        assert errors in ([], ["another leader refreshes this login"])
        assert len([one for one in world.coinbase.issued._refresh.values() if one.spent]) == 1
        assert (await world.leader.balances("coinbase-7", "s1")).accounts


async def test_a_leader_that_loses_the_lead_finishes_the_refresh() -> None:
    """Cancelled between the server's work and its answer, it stores the successor all the same."""
    async with logged_in() as world:
        world.later(50)
        answering, answer = anyio.Event(), anyio.Event()

        async def wait() -> None:
            answering.set()
            await answer.wait()

        world.coinbase.logins.between = wait
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.renew)
            await answering.wait()
            tasks.cancel_scope.cancel()
            answer.set()
        world.coinbase.logins.between = anyio.lowlevel.checkpoint
        assert (await world.person()).refreshing == 0.0
        assert await world.renew(world.new_leader()) is not None


async def killed_between(world: World) -> None:
    """A leader dies when the login server has given the next tokens and nobody has stored them."""
    person = await world.person()
    assert person.tokens.oauth is not None
    assert await world.leader.sessions.begin_refresh(person, world.clock.now)
    await world.coinbase.client.refresh(person.tokens.oauth.refresh)


async def test_the_death_of_a_leader_in_the_middle_logs_out_one_person() -> None:
    """The next leader waits for the first one, then finds the token used: this person must log in again."""
    async with logged_in() as world:
        assert await world.leader.log_in(EIGHT, "s2") is not None
        world.later(50)
        await killed_between(world)
        after = world.new_leader()
        with pytest.raises(ExchangeUnreachable, match="another leader"):
            await world.renew(after)
        world.clock.advance_to(world.clock.now + REFRESHING_SECONDS)
        assert await world.renew(after) is None
        assert [message.reason for message in after.published if message.kind == "logged_out"] == [ENDED]
        assert await world.leader.sessions.person("coinbase-7") is None
        assert (await after.balances("coinbase-8", "s2")).accounts


async def test_a_lost_answer_is_tried_again() -> None:
    """The login server did not get the request: the same token still works."""
    async with logged_in() as world:
        world.later(50)
        world.coinbase.logins.away = True
        with pytest.raises(ExchangeUnreachable):
            await world.renew()
        world.coinbase.logins.away = False
        assert await world.renew() is not None


async def test_a_login_outlives_an_outage_longer_than_its_tokens() -> None:
    """After three hours without Coinbase, refresh tokens still work: nobody logs in again."""
    async with logged_in() as world:
        world.coinbase.calls.away = world.coinbase.logins.away = True
        world.later(50)
        with pytest.raises(ExchangeUnreachable):
            await world.renew()
        assert (await world.person()).expires_at > world.clock.now + 80_000
        world.later(180)
        world.coinbase.calls.away = world.coinbase.logins.away = False
        assert await world.renew() is not None
        assert (await world.leader.balances("coinbase-7", "s1")).accounts


async def test_an_access_token_that_ends_early_is_refreshed() -> None:
    """The exchange does not accept it; the refresh token gives another one."""
    async with logged_in() as world:
        world.later(1)
        world.coinbase.exchange.inject("oauth_expire", "0")
        assert await world.renew() is not None
        assert (await world.leader.balances("coinbase-7", "s1")).accounts


def revoked(world: World) -> None:
    world.coinbase.exchange.inject("oauth_revoke", "seven")


def unregistered(world: World) -> None:
    world.coinbase.exchange.inject("oauth_refuse", "invalid_client")


@pytest.mark.parametrize(("break_it", "ends"), [(revoked, True), (unregistered, False)])
async def test_who_revokes_at_coinbase_is_logged_out(break_it: Callable[[World], None], ends: bool) -> None:
    """A mistake of the operator, whose secret is refused, logs nobody out."""
    async with logged_in() as world:
        world.later(50)
        break_it(world)
        if ends:
            assert await world.renew() is None
        else:
            with pytest.raises(ExchangeError):
                await world.renew()
        assert (await world.leader.sessions.person("coinbase-7") is None) is ends


async def test_a_renewal_with_more_rights_ends_the_login() -> None:
    """What Coinbase grants later is held to reading as well."""
    async with logged_in() as world:
        for token in world.coinbase.issued._access.values():
            token.consent.scope = (*token.consent.scope, "wallet:buys:create")
        world.later(12)
        assert await world.renew() is None
        assert world.leader.published[-1].reason == WIDENED
