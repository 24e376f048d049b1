"""Our client works with either answer to every question that the exchange's documents leave open.

Each switch of the simulator is set to another value, and the client must do the same: log in, receive prices, lose the
connection for a lack of credits, reconnect, log in again, and receive prices.
"""

from typing import Any

import anyio
import pytest

from cryptomarket.deribit.auth import Credentials, GrantType, Secret
from cryptomarket.simulator.exchange import SimulatedAccount, Switches, running_exchange
from cryptomarket.statements import UNCONFIRMED
from cryptomarket.statements.statement import DERIBIT
from tests.deribit.following import following

pytestmark = pytest.mark.system

OTHERS = [(one.name, other) for one in UNCONFIRMED if DERIBIT in one.hosts for other in one.others]


@pytest.mark.parametrize("switches", [OTHERS[::2], OTHERS[1::2]], ids=["one half", "the other half"])
async def test_the_client_works_with_the_other_answer(switches: list[tuple[str, Any]]) -> None:
    """The client logs in and reconnects with each switch; all run at once, because they mostly wait."""
    failed: dict[str, BaseException] = {}

    async def run_one(name: str, value: Any) -> None:
        try:
            await _log_in_and_reconnect(Switches(**{name: value}))
        except Exception as exc:
            failed[f"{name}={value}"] = exc

    async with anyio.create_task_group() as tasks:
        for name, value in switches:
            tasks.start_soon(run_one, name, value)
    assert failed == {}


async def _log_in_and_reconnect(switches: Switches) -> None:
    """Check logins and prices before and after the exchange ends the session, and that there is one connection."""
    key = Credentials("demo", Secret("demo-secret"))
    reading = SimulatedAccount("demo", "demo-secret", scope="account:read trade:read wallet:read")
    login: dict[str, Any] = {"credentials": key, "grant_type": GrantType.SIGNATURE}
    async with (
        running_exchange(time_scale=10, accounts=[reading], switches=switches) as exchange,
        following(exchange.ws_url, "btc_usd", "BTC-PERPETUAL", **login) as follower,
    ):
        await follower.tick_of("BTC-PERPETUAL")
        await follower.tick_of("btc_usd")
        await follower.until(lambda: follower.deribit_client.authenticated)
        (session,) = exchange.sessions
        session.ask()
        await follower.until(lambda: session.methods()[-1] == "public/test")
        exchange.inject("too_many")
        session.ask()  # the next request gets 10028, and the session ends
        await follower.until(lambda: session not in exchange.sessions)
        await follower.until(lambda: len(exchange.opened_sessions) > 1, within=15)
        await follower.tick_of("BTC-PERPETUAL", within=15)
        await follower.tick_of("btc_usd")
        await follower.until(lambda: follower.deribit_client.authenticated)
        assert exchange.most_at_once == 1
