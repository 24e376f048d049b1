"""No person receives what belongs to another, in any order of events.

CRYPTOMARKET_ISOLATION: personal events to deliver. CRYPTOMARKET_ANSWERS: balances to read.
"""

import json
import os
import random
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptomarket.deribit.rate_limit import Priority, RateLimiter
from cryptomarket.errors import CacheUnavailable
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.credits import BUDGETS
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.statements.limits import CreditLimit as Plenty
from cryptomarket.stream.manager import ServerSSEManager
from tests.deribit.following import following
from tests.redis_server import running_redis
from tests.tcp_proxy import tcp_proxy

from .caches import redis_cache
from .crowd import accounts
from .environment import PersonCluster

pytestmark = pytest.mark.system

DELIVERIES = int(os.environ.get("CRYPTOMARKET_ISOLATION", "3000"))
ANSWERS = int(os.environ.get("CRYPTOMARKET_ANSWERS", "300"))


async def test_threat_05_events_reach_their_own_session_alone() -> None:
    """On three nodes hundreds of persons log in, fail to, log out, and open and close streams."""
    dice = random.Random(5)
    cluster = PersonCluster()
    async with cluster.running():
        while cluster.received < DELIVERIES and not cluster.wrong:
            await cluster.step(dice, browsers=300, persons=200)
    assert not cluster.wrong


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=60))
def test_threat_05_no_order_of_events_mixes_persons(seeds: list[int]) -> None:
    """With few browsers and few persons every combination of them occurs."""

    async def run() -> None:
        cluster = PersonCluster(size=2)
        async with cluster.running():
            for seed in seeds:
                await cluster.step(random.Random(seed), browsers=3, persons=2)
        assert not cluster.wrong

    anyio.run(run)


async def test_threat_05_an_event_at_the_wrong_session_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that sends each event to all its streams is reported by the checks of the tests above."""
    send = ServerSSEManager.send

    def send_to_all(self: ServerSSEManager, session: str, data: str) -> int:
        sessions = {stream.session for cohort in self._subscribers for stream in cohort.members() if stream.session}
        return sum(send(self, one, data) for one in sessions)

    monkeypatch.setattr(ServerSSEManager, "send", send_to_all)
    dice = random.Random(5)
    cluster = PersonCluster()
    async with cluster.running():
        for _ in range(300):
            await cluster.step(dice, browsers=10, persons=10)
    assert cluster.wrong


async def test_threat_06_each_call_receives_its_own_answer() -> None:
    """Over one connection, whose last login the exchange takes for all calls, the tokens keep persons apart."""
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

        async def read_balances(account: SimulatedAccount) -> None:
            nonlocal answered
            token = await log_in(account)
            for _ in range(ANSWERS // len(persons)):
                if dice.random() < 0.1:
                    token = await log_in(account)
                params = {"currency": dice.choice(("BTC", "ETH")), "extended": True, "access_token": token}
                raw = await follower.deribit_client.call(
                    "private/get_account_summary", params, priority=Priority.PERSON
                )
                assert json.loads(bytes(raw))["id"] == account.identity
                answered += 1

        assert exchange.state.switches.adopts_last_login
        async with anyio.create_task_group() as tasks:
            for account in persons:
                tasks.start_soon(read_balances, account)
    assert answered == ANSWERS // len(persons) * len(persons)


async def test_threat_07_a_cancelled_command_answers_no_other(tmp_path: Path) -> None:
    """Redis is slow and commands are cancelled at any moment: every answer is that of its own command."""
    dice = random.Random(7)
    async with (
        running_redis(tmp_path) as server,
        tcp_proxy(server.port) as line,
        redis_cache(f"redis://127.0.0.1:{line.port}/0") as cache,
    ):
        for number in range(20):
            await cache.put(f"k{number}", f"v{number}".encode(), 600)
        line.delay_seconds = 0.005
        own: list[bool] = []

        async def get(number: int) -> None:
            with anyio.move_on_after(dice.random() * 0.03):
                with suppress(CacheUnavailable):
                    own.append(await cache.get(f"k{number}") == [f"v{number}".encode()])

        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(get, number)
        line.mend()
    assert all(own)
