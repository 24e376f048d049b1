"""The client against the simulated exchange: open questions answered either way, and each of its faults."""

import json
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import anyio
import pytest

from cryptomarket.app.health import login_check
from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.deribit.rate_limit import AttemptLimiter, RateLimiter
from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT, SimulatedAccount
from cryptomarket.simulator.coinbase_keys import new_key_pair
from cryptomarket.simulator.exchange import Exchange, Switches, running_exchange
from cryptomarket.simulator.faults import FAULTS
from cryptomarket.statements import UNCONFIRMED
from cryptomarket.statements.statement import DERIBIT

from .following import WATCHFUL, Follower, following

#: Each statement about Deribit that nobody has confirmed, answered otherwise than the simulator's default.
OTHERWISE = [f"{one.name}={json.dumps(other)}" for one in UNCONFIRMED if DERIBIT in one.hosts for other in one.others]
ARGUMENTS = {
    "unanswered": "public/subscribe",
    "error": "10040",
    "forget": "ticker.BTC-PERPETUAL.100ms",
    "lock": "btc_usd",
    "refuse": "*eth_usd*",
    "stall": "*eth_usd*",
    "skew": "5",
    "narrow_key": "demo account:read",
    "revoke_key": "demo",
}
FELT_BY_THE_NEXT = ("unanswered", "error", "refuse", "refuse_login")
TICKERS = ("btc_usd", "eth_usd", "BTC-PERPETUAL")
SHORT_TIMEOUTS = replace(WATCHFUL, greeting=3, answer=3)


async def all_tick(follower: Follower) -> None:
    """Wait until every ticker has ticked from now on."""
    start = len(follower.messages)
    await follower.until(lambda: {t.ticker for t in follower.ticks_since(start)} >= set(TICKERS), 40)


def key_of(exchange: Exchange) -> Credentials:
    account = exchange.accounts[0]
    return Credentials(account.client_id, Secret(account.client_secret))


async def failures_of(scenario: Callable[[str], Awaitable[None]], names: Iterable[str]) -> dict[str, str]:
    """Play the scenario once for each name, all at the same time; returns what went wrong with which."""
    failures: dict[str, str] = {}

    async def play(name: str) -> None:
        try:
            await scenario(name)
        except BaseExceptionGroup as group:
            failed, _ = group.split(Exception)
            if failed is None:
                raise
            failures[name] = "".join(traceback.format_exception(failed)[-8:])
        except Exception as exc:
            failures[name] = repr(exc)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(play, name)
    return failures


async def survive(switch: str) -> None:
    """Login, prices, a drop, a garbage frame, an overdraft, and prices again."""
    # Of a kind of right that no scope can refuse, the key must have none: a grant to write is not used.
    key = replace(DEFAULT_ACCOUNT, scope="account:read_write trade:read_write wallet:read_write")
    async with running_exchange(time_scale=5, switches=Switches.parse([switch]), accounts=(key,)) as exchange:
        options = {"credentials": key_of(exchange), "raw": True, "timeouts": SHORT_TIMEOUTS}
        async with following(exchange.ws_url, *TICKERS, **options) as follower:
            await all_tick(follower)
            await follower.until(lambda: follower.deribit_client.authenticated)
            for fault in ("drop", "garbage", "too_many"):
                connections = exchange.connections
                exchange.inject(fault)
                if fault == "drop":
                    await follower.until(lambda seen=connections: exchange.connections > seen)  # type: ignore[misc]
                await all_tick(follower)
            await follower.until(lambda: follower.deribit_client.authenticated)
        assert exchange.most_at_once == 1


async def test_any_answer_to_an_open_question_is_survived() -> None:
    """Whichever way the real exchange turns out to be."""
    assert await failures_of(survive, OTHERWISE) == {}


async def heal(fault: str) -> None:
    """Prices, the fault for a while, its end, prices."""
    async with running_exchange(time_scale=5) as exchange:
        options = {
            "attempts": AttemptLimiter(max_attempts=1000),
            "budget": RateLimiter(time_scale=3),
            "timeouts": SHORT_TIMEOUTS,
        }
        async with following(exchange.ws_url, *TICKERS, credentials=key_of(exchange), **options) as follower:
            await all_tick(follower)
            exchange.inject(fault, ARGUMENTS.get(fault, ""))
            if fault in FELT_BY_THE_NEXT:
                exchange.inject("reset")
            with anyio.move_on_after(1.5):  # longer than any timeouts of the client here
                await follower.until(lambda: False)
            exchange.inject("clear")
            if fault == "refuse":  # requested again a minute later, or by the next connection
                exchange.inject("reset")
            await all_tick(follower)
        assert exchange.most_at_once == 1
        assert all(tick.price > 0 for tick in follower.ticks)


async def test_prices_come_back_after_each_fault() -> None:
    """The client recovers by itself from every fault of the simulator, with one connection at a time."""
    assert await failures_of(heal, FAULTS.keys() - {"clear", "expire"}) == {}


async def test_an_instrument_that_expires_rests_and_disturbs_nobody() -> None:
    """Its readers are told; the other tickers keep ticking on the same connection, and upstream stays live."""
    async with running_exchange(time_scale=10) as exchange:
        expiring = sorted(n for n in exchange.state.market.instruments(exchange.state.now_ms()) if n.endswith("-C"))[0]
        async with following(exchange.ws_url, "btc_usd", expiring) as follower:
            await follower.tick_of(expiring)
            exchange.inject("expire", expiring)
            await follower.until(lambda: expiring in follower.gaps)
            await follower.tick_of("btc_usd")
            assert follower.deribit_client.statistics().state == "live"
        assert exchange.connections == 1


async def test_d1_the_login_of_the_application_keeps_its_rights_over_renewals() -> None:
    """Each renewal requests the scope again; one that comes back wide is narrowed by the next, and said."""
    rights = {"account:read", "mainaccount"}
    async with (
        running_exchange(switches=Switches(session_expires_in=1)) as exchange,
        following(exchange.ws_url, credentials=key_of(exchange)) as follower,
    ):
        client = follower.deribit_client
        own = rights | {f"session:{client.login.exchange_session}"}

        def renewed(times: int) -> Callable[[], bool]:
            before = exchange.state.requests["public/auth"]
            return lambda: exchange.state.requests["public/auth"] >= before + times

        await follower.until(lambda: client.authenticated)
        await follower.until(renewed(3))
        assert set(client.statistics().login.scope) == own
        assert not client.statistics().degraded
        exchange.inject("widen")
        await follower.until(renewed(3))
        assert set(client.statistics().login.scope) == own
        assert (client.authenticated, client.statistics().degraded) == (True, False)
        exchange.inject("widen", "100")
        await follower.until(lambda: not client.authenticated)
        assert "granted more than reading: account:read_write" in client.statistics().login.trouble


@pytest.mark.parametrize("skew", ["-3600", "90", "86400"])
async def test_a_wrong_clock_of_this_machine_is_measured_and_corrected(skew: str) -> None:
    """The answer to the greeting tells the exchange's time, by which the login is signed; operators read the error."""
    async with running_exchange() as exchange:
        exchange.inject("skew", skew)
        async with following(exchange.ws_url, "btc_usd", credentials=key_of(exchange), raw=True) as follower:
            await follower.tick_of("btc_usd")
            client = follower.deribit_client
            assert client.authenticated
            assert abs(client.statistics().clock_behind_seconds - float(skew)) < 5
            assert f" s {'behind' if float(skew) > 0 else 'ahead of'} the exchange's" in client.clock.problem


def evict(exchange: Exchange) -> None:
    """Sixteen programs log in with the key, each with an exchange session of its own."""
    key = key_of(exchange)
    params = {"client_id": key.client_id, "client_secret": key.client_secret.reveal()}
    for number in range(16):
        scope = {"grant_type": "client_credentials", "scope": f"session:other-{number}"}
        exchange.state.accounts.authenticate(params | scope, object())


@pytest.mark.parametrize("adopts", [True, False])
async def test_a_login_that_other_programs_ended_is_made_anew(adopts: bool) -> None:
    """The next raw channel is refused (13778), the login follows at once, and no price comes at 100ms meanwhile."""
    async with (
        running_exchange(time_scale=5, switches=Switches(adopts_last_login=adopts)) as exchange,
        following(exchange.ws_url, "BTC-PERPETUAL", credentials=key_of(exchange), raw=True) as follower,
    ):
        client = follower.deribit_client
        await follower.tick_of("BTC-PERPETUAL")
        evict(exchange)
        client.want(["ETH-PERPETUAL"])
        await follower.tick_of("ETH-PERPETUAL")
        found = client.statistics()
        assert (found.login.authenticated, found.login.losses, found.all_changes, found.degraded) == (
            True,
            1,
            True,
            False,
        )
        assert not any("ticker.ETH-PERPETUAL.100ms" in asked for asked in subscribed(exchange))


async def test_a_login_that_other_programs_ended_is_noticed_by_its_renewal() -> None:
    """Without a new channel the refused renewal tells it; prices go on, and the login follows."""
    async with (
        running_exchange(time_scale=5, switches=Switches(session_expires_in=3)) as exchange,
        following(exchange.ws_url, "BTC-PERPETUAL", credentials=key_of(exchange), raw=True) as follower,
    ):
        await follower.tick_of("BTC-PERPETUAL")
        evict(exchange)
        await follower.until(lambda: follower.deribit_client.login.losses == 1)
        await follower.until(lambda: alive(exchange))
        assert follower.deribit_client.statistics().all_changes


def alive(exchange: Exchange) -> bool:
    """Whether the socket's login is valid at the exchange."""
    grant = exchange.opened_sessions[-1].remembered
    return grant is not None and exchange.state.accounts.alive(grant)


async def test_the_end_of_a_persons_login_does_not_end_the_applications() -> None:
    """The socket may remember the login of the person who came last; its end is the application's next login."""
    async with (
        running_exchange(time_scale=5) as exchange,
        following(exchange.ws_url, "BTC-PERPETUAL", credentials=key_of(exchange), raw=True) as follower,
    ):
        client, key = follower.deribit_client, key_of(exchange)
        await follower.tick_of("BTC-PERPETUAL")
        params = {"grant_type": "client_credentials", "client_id": key.client_id}
        scope = {"client_secret": key.client_secret.reveal(), "scope": "session:person account:read expires:1"}
        await client.call("public/auth", params | scope)
        await anyio.sleep(1.1)
        client.want(["ETH-PERPETUAL"])
        await follower.tick_of("ETH-PERPETUAL")
        assert (client.login.authenticated, client.login.losses) == (True, 1)
        assert not any("ticker.ETH-PERPETUAL.100ms" in asked for asked in subscribed(exchange))


async def test_a_login_that_stays_lost_is_said_while_prices_come_at_100ms() -> None:
    """The key is refused from now on."""
    async with (
        running_exchange(time_scale=5) as exchange,
        following(exchange.ws_url, "BTC-PERPETUAL", credentials=key_of(exchange), raw=True) as follower,
    ):
        client = follower.deribit_client
        await follower.tick_of("BTC-PERPETUAL")
        exchange.inject("revoke_key", "demo")
        client.want(["ETH-PERPETUAL"])
        await follower.tick_of("ETH-PERPETUAL")
        found = client.statistics()
        assert (found.login.authenticated, found.all_changes, found.degraded) == (False, False, True)
        check = login_check(client)
        assert not check.ok
        assert check.detail.startswith("public prices only, ten a second at most: ")


def subscribed(exchange: Exchange) -> list[list[str]]:
    """The channels of each request to subscribe, of all connections."""
    requests = [request for session in exchange.opened_sessions for request in session.requests]
    return [request.params["channels"] for request in requests if request.method == "public/subscribe"]


@pytest.mark.parametrize("right", [True, False])
async def test_the_application_logs_in_with_a_key_pair(right: bool) -> None:
    """The exchange knows the public half; the signature of another key is refused."""
    key, other = new_key_pair(), new_key_pair()
    account = SimulatedAccount("pair", public_key=key.public)
    credentials = Credentials("pair", Secret((key if right else other).private))
    async with (
        running_exchange(accounts=(account,)) as exchange,
        following(exchange.ws_url, "BTC-PERPETUAL", credentials=credentials, raw=True) as follower,
    ):
        await follower.tick_of("BTC-PERPETUAL")
        assert follower.deribit_client.authenticated is right
