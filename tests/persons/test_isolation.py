"""Nobody ever hears what is meant for somebody else, whatever happens in whatever order.

CRYPTOMARKET_ISOLATION=1000000 plays until so many personal events were delivered; CRYPTOMARKET_ANSWERS=100000 asks so
many times for balances.
"""

import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptomarket.deribit.rate_limit import Priority, RateLimiter
from cryptomarket.errors import CacheUnavailable
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.credits import BUDGETS
from cryptomarket.simulator.credits import CreditLimit as Plenty
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.stream.manager import ServerSSEManager
from tests.deribit.following import following
from tests.redis_server import running_redis
from tests.tcp_proxy import tcp_proxy

from .caches import redis_cache
from .crowd import accounts
from .environment import House

DELIVERIES = int(os.environ.get("CRYPTOMARKET_ISOLATION", "3000"))
ANSWERS = int(os.environ.get("CRYPTOMARKET_ANSWERS", "300"))


@asynccontextmanager
async def living(house: House) -> AsyncIterator[House]:
    """The house with its announcers at work."""
    async with anyio.create_task_group() as tasks:
        for node in house.at:
            await tasks.start(node.office.notifier.run)
        yield house
        tasks.cancel_scope.cancel()
    for node in house.at:
        node.office.front._send.close()
        node.office.front._receive.close()


async def test_threat_05_events_reach_their_own_session_alone() -> None:
    """Hundreds of persons and browsers on three nodes: log-ins, log-outs, failures, tabs that come and go."""
    dice = random.Random(5)
    async with living(House()) as house:
        while house.told < DELIVERIES and not house.wrong:
            await house.play(dice, browsers=300, persons=200)
    assert not house.wrong


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=60))
def test_threat_05_no_order_of_events_mixes_persons(seeds: list[int]) -> None:
    """Few browsers and few persons, so that everything meets everything."""

    async def play() -> None:
        async with living(House(nodes=2)) as house:
            for seed in seeds:
                await house.play(random.Random(seed), browsers=3, persons=2)
        assert not house.wrong

    anyio.run(play)


async def test_threat_05_a_mixed_up_delivery_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With events sent to every stream of a node the same game finds them at the wrong session."""
    right = ServerSSEManager.send

    def everybody(self: ServerSSEManager, session: str, data: str) -> int:
        sessions = {stream.session for cohort in self._subscribers for stream in cohort.members() if stream.session}
        return sum(right(self, one, data) for one in sessions)

    monkeypatch.setattr(ServerSSEManager, "send", everybody)
    dice = random.Random(5)
    async with living(House()) as house:
        for _ in range(300):
            await house.play(dice, browsers=10, persons=10)
    assert house.wrong


async def test_threat_06_answers_are_the_askers_own() -> None:
    """The exchange adopts whoever logged in last, and all ask at once over the one connection: each gets its own."""
    persons = accounts(24)
    plenty = dict.fromkeys(BUDGETS, Plenty(1, 10**9, 10**9))
    dice, answered = random.Random(6), 0
    async with (
        running_exchange(accounts=persons, budgets=plenty) as exchange,
        following(exchange.ws_url, budget=RateLimiter(time_scale=40)) as follower,
    ):

        async def log_in(account: SimulatedAccount) -> str:
            params = {
                "grant_type": "client_credentials",
                "client_id": account.client_id,
                "client_secret": account.client_secret,
                "scope": f"session:s{dice.randrange(3)} account:read",
            }
            grant = await follower.deribit_client.call("public/auth", params, priority=Priority.PERSON)
            return str(json.loads(bytes(grant))["access_token"])

        async def ask(account: SimulatedAccount) -> None:
            nonlocal answered
            token = await log_in(account)
            for _ in range(ANSWERS // len(persons)):
                if dice.random() < 0.1:
                    token = await log_in(account)
                asked = {"currency": dice.choice(("BTC", "ETH")), "extended": True, "access_token": token}
                raw = await follower.deribit_client.call("private/get_account_summary", asked, priority=Priority.PERSON)
                assert json.loads(bytes(raw))["id"] == account.identity
                answered += 1

        assert exchange.state.switches.adopts_last_login
        async with anyio.create_task_group() as tasks:
            for account in persons:
                tasks.start_soon(ask, account)
    assert answered == ANSWERS // len(persons) * len(persons)


async def test_threat_07_a_cancelled_command_answers_nobody_else(tmp_path: Path) -> None:
    """Redis is slow, and commands are cancelled at every moment: who gets an answer gets its own."""
    dice = random.Random(7)
    async with (
        running_redis(tmp_path) as server,
        tcp_proxy(server.port) as line,
        redis_cache(f"redis://127.0.0.1:{line.port}/0") as cache,
    ):
        for number in range(20):
            await cache.put(f"k{number}", f"v{number}".encode(), 600)
        line.delay_seconds = 0.005
        got: list[bool] = []

        async def get(number: int) -> None:
            with anyio.move_on_after(dice.random() * 0.03):
                with suppress(CacheUnavailable):
                    got.append(await cache.get(f"k{number}") == [f"v{number}".encode()])

        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(get, number)
        line.mend()
    assert all(got)
