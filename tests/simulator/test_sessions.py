"""One WebSocket session: heartbeats, silence, requests without an id, compression, what open questions decide."""

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import PerMessageDeflate

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.http import sign
from cryptomarket.simulator.switches import Switches

from .client import Client, connected, http

INDEX = "deribit_price_index.btc_usd"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def _closed(client: Client) -> tuple[int, str]:
    """The code and reason that the exchange closes with; 1006 without a closing handshake."""
    with anyio.fail_after(30):
        await client.socket.wait_closed()
    assert client.socket.close_code is not None
    return client.socket.close_code, client.socket.close_reason or ""


async def _nothing_sent(client: Client, exchange: Exchange) -> bool:
    """Whether nothing arrives within several steps of the exchange."""
    with anyio.move_on_after(0.1):
        client.notifications.append(await client.read())
        return False
    return True


async def test_a_test_request_comes_each_interval_and_a_heartbeat_beside_it() -> None:
    """As probed: 12.3 s after the request for an interval of 10, then every 10.6 s; the heartbeat on idle sockets."""
    clock = Clock()
    async with running_exchange(monotonic=clock) as exchange, connected(exchange) as client:
        assert await client.error("public/set_heartbeat", interval=5) == -32602
        await client.result("public/set_heartbeat", interval=10)
        for wait in (12.3, 10.6, 10.6):
            clock.now += wait - 0.1
            assert await _nothing_sent(client, exchange)
            clock.now += 0.2
            assert await client.text() == '{"params":{"type":"heartbeat"},"method":"heartbeat","jsonrpc":"2.0"}'
            assert await client.text() == '{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}'
            await client.result("public/test")


async def test_a_busy_socket_gets_the_test_request_alone() -> None:
    """No heartbeat is sent beside it where notifications are."""
    clock = Clock()
    async with running_exchange(monotonic=clock) as exchange, connected(exchange) as client:
        await client.result("public/set_heartbeat", interval=10)
        await client.result("public/subscribe", channels=[INDEX])
        clock.now += 6
        await client.notification(INDEX)
        await client.notification(INDEX)
        clock.now += 6.3
        while "method" not in (message := await client.read()) or message["method"] != "heartbeat":
            pass
        assert message["params"]["type"] == "test_request"


async def test_an_unanswered_test_request_ends_the_connection_with_4000() -> None:
    """Ten seconds after it, with an interval of ten."""
    clock = Clock()
    async with running_exchange(monotonic=clock) as exchange, connected(exchange) as client:
        await client.result("public/set_heartbeat", interval=10)
        clock.now += 12.3
        assert [(await client.read())["params"]["type"] for _ in range(2)] == ["heartbeat", "test_request"]
        clock.now += 9.9
        assert await _nothing_sent(client, exchange)
        clock.now += 0.1
        assert await _closed(client) == (4000, "heartbeat close")


async def test_a_socket_that_was_never_used_is_dropped_after_a_minute() -> None:
    """Without a closing handshake; one request is enough to stay."""
    clock = Clock()
    async with running_exchange(monotonic=clock) as exchange, connected(exchange) as idle, connected(exchange) as used:
        await used.result("public/test")
        await (await idle.socket.ping())
        clock.now += 60.6
        assert await _closed(idle) == (1006, "")
        clock.now += 600
        assert await used.result("public/test")


async def test_a_request_without_an_id_is_answered_without_one() -> None:
    """As probed in 2026."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.send({"jsonrpc": "2.0", "method": "public/test", "params": {}})
        answer = await client.read()
        assert (answer["result"], "id" in answer) == ({"version": "1.2.26"}, False)


async def test_an_address_with_a_slash_at_its_end_is_served() -> None:
    """Old clients dial it."""
    async with running_exchange() as exchange, connect(f"{exchange.ws_url}/") as socket:
        assert await Client(socket).result("public/test")


@pytest.mark.parametrize("offered", ["deflate", None])
async def test_compression_is_agreed_on_where_it_is_offered(offered: str | None) -> None:
    """Answers and notifications arrive either way, also those sent in fragments."""
    async with running_exchange() as exchange, connect(exchange.ws_url, compression=offered) as socket:
        agreed = [type(extension) for extension in socket.protocol.extensions]
        assert agreed == ([PerMessageDeflate] if offered else [])
        client = Client(socket)
        assert len(await client.result("public/get_currencies")) > 3
        await client.result("public/subscribe", channels=[INDEX])
        await client.notification(INDEX)
        exchange.inject("split")
        assert len(await client.result("public/get_currencies")) > 3


async def test_a_second_subscription_delivers_once_and_sends_no_first_message_again() -> None:
    """Both answers list the channel."""
    async with running_exchange(time_scale=0.01) as exchange, connected(exchange) as client:
        for _ in range(2):
            assert await client.result("public/subscribe", channels=[INDEX]) == [INDEX]
        await client.notification(INDEX)
        assert await _nothing_sent(client, exchange)


async def test_error_10028_may_say_when_to_try_again() -> None:
    """By a switch."""
    switches = Switches(retry_after_seconds=1.5)
    async with running_exchange(switches=switches) as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject("too_many")
        assert (await client.ask("public/test"))["error"]["data"] == {"retry_after": 1.5}


async def test_an_address_without_a_login_may_have_fewer_credits() -> None:
    """By a switch: half of them are five subscriptions in a row."""
    switches = Switches(unauthenticated_share=0.5)
    async with running_exchange(switches=switches, monotonic=Clock()) as exchange, connected(exchange) as client:
        for _ in range(5):
            await client.result("public/subscribe", channels=[INDEX])
        assert await client.error("public/subscribe", channels=[INDEX]) == 10028


async def test_a_session_too_many_may_be_refused() -> None:
    """By a switch; otherwise it ends an older one."""
    async with running_exchange(switches=Switches(evicts_sessions=False)) as exchange, connected(exchange) as client:
        for number in range(16):
            await client.login(f"session:{number}")
        words = {"client_id": "demo", "client_secret": "demo-secret", "scope": "session:new"}
        assert await client.error("public/auth", grant_type="client_credentials", **words) == 12003


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_missing_nonce_may_be_refused(accepted: bool) -> None:
    """By a switch; otherwise it counts as an empty line."""
    switches = Switches(empty_nonce=accepted)
    async with (
        running_exchange(switches=switches, wall=lambda: 1_795_000_000.0) as exchange,
        connected(exchange) as client,
    ):
        words = {"client_id": "demo", "signature": sign("demo-secret", 1_795_000_000_000, "")}
        answer = await client.ask("public/auth", grant_type="client_signature", timestamp=1_795_000_000_000, **words)
        assert ("result" in answer) == accepted


async def test_errors_over_http_have_the_status_400_and_no_retry_after() -> None:
    """Also those of a missing token."""
    async with running_exchange(accounts=[SimulatedAccount("a", "b")]) as exchange:
        assert (await http(exchange, "/api/v2/private/get_subaccounts"))[0] == 400


async def test_tokens_do_not_end_in_an_equals_sign() -> None:
    """Neither of the pair."""
    async with running_exchange() as exchange, connected(exchange) as client:
        answer = await client.login("session:me")
        assert "=" not in answer["access_token"] + answer["refresh_token"]
