"""Every fault does what it says, on a real socket."""

import json
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.faults import FAULTS, ScheduledFault
from cryptomarket.simulator.http import sign
from cryptomarket.simulator.scopes import FULL
from cryptomarket.simulator.switches import Switches

from .client import Client, connected, http

INDEX, TICKER = "deribit_price_index.btc_usd", "ticker.BTC-PERPETUAL.100ms"


async def first_states(client: Client, exchange: Exchange) -> list[dict[str, Any]]:
    """What platform_state sends at once: the state of each index."""
    states = [(await client.notification("platform_state"))["params"]["data"] for _ in exchange.state.index_states()]
    assert [state["price_index"] for state in states] == exchange.state.market.index_names
    return states


async def _closed(client: Client) -> ConnectionClosed:
    with pytest.raises(ConnectionClosed) as closed, anyio.fail_after(30):
        await _drain(client)
    return closed.value


async def _drain(client: Client) -> None:
    while True:
        await client.socket.recv()


async def _silent(client: Client, seconds: float = 0.3) -> bool:
    """Whether nothing arrives for a while in which a hurried market ticks many times."""
    with anyio.move_on_after(seconds):
        await client.socket.recv()
        return False
    return True


@pytest.mark.parametrize("name", ["drop", "reset", "close", "truncated", "maintenance"])
async def test_a_fault_ends_the_connection(name: str) -> None:
    """Dropped, reset, closed, cut in the middle of a frame, sent away for maintenance."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject(name)
        closed = await _closed(client)
        assert (closed.rcvd is not None) == (name == "close")
        if closed.rcvd is not None:
            assert closed.rcvd.code == 1001


async def test_a_half_open_connection_answers_pings_and_nothing_else() -> None:
    """Pongs arrive although the exchange is gone behind it."""
    async with running_exchange(time_scale=50) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=[INDEX])
        exchange.inject("half_open")
        for _ in range(2):
            with anyio.fail_after(30):
                await (await client.socket.ping())  # whatever was said before is here now
            with anyio.move_on_after(0.2):
                await _drain(client)
            await client.send({"jsonrpc": "2.0", "id": 99, "method": "public/test", "params": {}})
        assert await _silent(client)


async def test_a_dead_connection_does_not_even_answer_pings() -> None:
    """It only stands."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject("dead")
        pong = await client.socket.ping()
        with pytest.raises(TimeoutError), anyio.fail_after(0.2):
            await pong
        client.socket.transport.abort()


@pytest.mark.parametrize(("name", "code"), [("not_utf8", 1007), ("oversized", 1009)])
async def test_a_broken_frame_is_noticed_by_the_library(name: str, code: int) -> None:
    """Frames that are no UTF-8 or too large end the connection from the client's side."""
    async with running_exchange() as exchange:
        from websockets.asyncio.client import connect

        async with connect(exchange.ws_url) as socket:
            client = Client(socket)
            await client.result("public/test")
            exchange.inject(name)
            closed = await _closed(client)
            assert isinstance(closed, ConnectionClosedError)
            assert closed.sent is not None
            assert closed.sent.code == code


async def test_garbage_arrives_and_the_connection_goes_on() -> None:
    """A frame that is no JSON is only a frame."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject("garbage", "not json")
        assert await client.text() == "not json"
        assert await client.result("public/test")


async def test_split_messages_arrive_whole() -> None:
    """Fragments are put together by any client, whatever bytes they are cut at."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("split")
        answer = await client.ask("public/get_currencies")
        assert len(answer["result"]) > 3


async def test_answers_come_late_and_notifications_overtake_them() -> None:
    """With a delay the first notification is there before the answer to the subscription."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("delay", "0.1")
        await client.send({"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": [INDEX]}})
        assert (await client.read())["method"] == "subscription"
        while "id" not in (message := await client.read()):
            pass  # ticks may come before the answer too
        assert message["result"] == [INDEX]


async def test_answers_come_in_another_order() -> None:
    """Two requests in flight are answered the wrong way round."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("reorder")
        for number in (1, 2):
            await client.send({"jsonrpc": "2.0", "id": number, "method": "public/test", "params": {}})
        assert [(await client.read())["id"], (await client.read())["id"]] == [2, 1]


async def test_an_unanswered_method_is_done_all_the_same() -> None:
    """The subscription stands, though nobody says so."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("unanswered", "public/subscribe")
        await client.send({"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": [INDEX]}})
        assert (await client.read())["method"] == "subscription"
        assert await client.result("public/test")


async def test_a_method_gets_the_error_ordered() -> None:
    """One method or all of them, until it is taken back."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("error", "public/subscribe:11094")
        assert await client.error("public/subscribe", channels=[INDEX]) == 11094
        assert await client.result("public/test")
        exchange.inject("error", "public/subscribe:0")
        assert await client.result("public/subscribe", channels=[INDEX]) == [INDEX]


async def test_one_channel_falls_silent_among_others() -> None:
    """A stalled channel says nothing, the others go on, and clear brings it back."""
    async with running_exchange(time_scale=20) as exchange, connected(exchange) as client:
        other = "deribit_price_index.eth_usd"
        await client.result("public/subscribe", channels=[INDEX, other])
        exchange.inject("stall", INDEX)
        await client.result("public/test")
        client.notifications.clear()
        received = {(await client.notification())["params"]["channel"] for _ in range(10)}
        assert received == {other}
        exchange.inject("clear")
        await client.notification(INDEX)


async def test_a_forgotten_subscription_is_silent_until_asked_for_again() -> None:
    """The exchange lost it, and says nothing."""
    async with running_exchange(time_scale=20) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=[INDEX])
        await client.notification(INDEX)
        exchange.inject("forget", INDEX)
        await client.result("public/test")
        assert await _silent(client)
        await client.result("public/subscribe", channels=[INDEX])
        await client.notification(INDEX)


async def test_a_refused_channel_is_missing_without_a_word() -> None:
    """The answer lists only the others."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("refuse", "ticker.*")
        assert await client.result("public/subscribe", channels=[INDEX, TICKER]) == [INDEX]


async def test_an_expired_instrument_goes_silent_and_is_announced() -> None:
    """It leaves the catalogue, instrument.state says so, and its ticker stops."""
    async with running_exchange(time_scale=20) as exchange, connected(exchange) as client:
        states = "instrument.state.any.any"
        await client.result("public/subscribe", channels=[states, TICKER])
        exchange.inject("expire", "BTC-PERPETUAL")
        notified = (await client.notification(states))["params"]["data"]
        assert (notified["instrument_name"], notified["state"]) == ("BTC-PERPETUAL", "settlement")
        assert await _silent(client)
        assert await client.error("public/ticker", instrument_name="BTC-PERPETUAL") == -32602
        assert await client.error("public/get_order_book", instrument_name="BTC-PERPETUAL") == 13019
        assert await client.error("public/get_order_book", instrument_name="ETH-1JAN20") == -32602
        assert await client.result("public/subscribe", channels=[TICKER]) == []


async def test_maintenance_is_announced_and_answers_11051() -> None:
    """platform_state says it, calls are refused, and it ends."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=["platform_state"])
        await first_states(client, exchange)
        exchange.inject("maintenance", "quiet")
        assert (await client.notification())["params"]["data"] == {"maintenance": True}
        assert await client.error("public/get_currencies") == 11051
        exchange.inject("maintenance", "off")
        assert await client.result("public/get_currencies")


async def test_a_lock_is_told_by_platform_state_and_status() -> None:
    """locked is a string on the wire, and partial names the indices."""
    async with running_exchange() as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=["platform_state"])
        assert {"price_index": "eth_usd", "locked": False, "reasons": []} in await first_states(client, exchange)
        exchange.inject("lock", "eth_usd")
        told = (await client.notification())["params"]["data"]
        assert told == {"price_index": "eth_usd", "locked": True, "reasons": []}
        assert await client.result("public/status") == {"locked": "partial", "locked_indices": ["eth_usd"]}
        exchange.inject("lock", "-eth_usd")
        assert await client.result("public/status") == {"locked": "false"}


async def test_a_locked_index_and_its_instruments_are_silent() -> None:
    """Others go on, and after the lock the prices come back."""
    async with running_exchange(time_scale=20) as exchange, connected(exchange) as client:
        other = "deribit_price_index.eth_usd"
        await client.result("public/subscribe", channels=[INDEX, "ticker.BTC-PERPETUAL.100ms", other])
        exchange.inject("lock", "btc_usd")
        await client.result("public/test")
        client.notifications.clear()
        assert {(await client.notification())["params"]["channel"] for _ in range(10)} == {other}
        exchange.inject("lock", "-btc_usd")
        await client.notification(INDEX)
        await client.notification("ticker.BTC-PERPETUAL.100ms")


async def test_calls_without_login_can_be_switched_off() -> None:
    """11056 for everybody who has not logged in; a login helps."""
    async with running_exchange() as exchange, connected(exchange) as client:
        exchange.inject("no_unauthenticated")
        assert await client.error("public/subscribe", channels=[INDEX]) == 11056
        await client.login()
        assert await client.result("public/subscribe", channels=[INDEX]) == [INDEX]


async def test_logins_and_tokens_fail_on_demand() -> None:
    """Refused, expired, revoked."""
    async with running_exchange() as exchange, connected(exchange) as client:
        words = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "demo-secret"}
        exchange.inject("refuse_login")
        assert await client.error("public/auth", **words) == 13004
        exchange.inject("clear")
        answer = await client.login("session:x")
        exchange.inject("expire_tokens")
        assert await client.error("private/get_subaccounts", access_token=answer["access_token"]) == 13009
        words = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
        renewed = await client.result("public/auth", **words)
        assert await client.result("private/get_subaccounts", access_token=renewed["access_token"])
        exchange.inject("revoke_tokens")
        words["refresh_token"] = renewed["refresh_token"]
        assert await client.error("public/auth", **words) == 13009


async def test_keys_are_narrowed_and_revoked_and_refreshes_widened_on_demand() -> None:
    """Each affects the next renewal."""
    async with running_exchange() as exchange, connected(exchange) as client:
        words = {"grant_type": "refresh_token"}

        async def refreshed(refresh_token: str) -> tuple[str, set[str]]:
            answer = await client.result("public/auth", **words, refresh_token=refresh_token)
            return answer["refresh_token"], set(answer["scope"].split()) - {"mainaccount", "session:x"}

        answer = await client.login("session:x account:read trade:none wallet:none block_trade:none")
        exchange.inject("widen")
        token, scope = await refreshed(answer["refresh_token"])
        assert scope == set(FULL.split())
        exchange.inject("narrow_key", "demo account:read trade:read")
        token, scope = await refreshed(token)
        assert scope == {"account:read", "trade:read"}
        exchange.inject("revoke_key", "demo")
        assert await client.error("public/auth", **words, refresh_token=token) == 13009
        for name in ("narrow_key", "revoke_key"):
            with pytest.raises(ValueError, match="unknown key"):
                exchange.inject(name, "demo")


@pytest.mark.parametrize("says", [True, False])
async def test_whether_10028_arrives_before_the_end_is_a_switch(says: bool) -> None:
    """Credits taken away: the next request ends the session, with or without a word."""
    switches = Switches(says_too_many=says, close_code=0)
    async with running_exchange(switches=switches) as exchange, connected(exchange) as client:
        await client.result("public/test")
        exchange.inject("too_many")
        await client.send({"jsonrpc": "2.0", "id": 5, "method": "public/test", "params": {}})
        if says:
            assert (await client.read())["error"]["code"] == 10028
        closed = await _closed(client)
        assert closed.rcvd is None


async def test_new_connections_can_be_refused_or_dropped() -> None:
    """503 at the handshake, or accepted and gone."""
    async with running_exchange() as exchange:
        exchange.inject("refuse_connections")
        with pytest.raises(InvalidStatus) as refused:
            await _connect(exchange)
        assert refused.value.response.status_code == 503
        exchange.inject("clear")
        exchange.inject("drop_at_once")
        async with connected(exchange) as client:
            await _closed(client)


async def _connect(exchange: Exchange) -> None:
    async with connected(exchange):
        pass


async def test_http_can_answer_a_page_instead_of_json() -> None:
    """502 with HTML, as a proxy in front of the real exchange does."""
    async with running_exchange() as exchange:
        exchange.inject("http_page")
        status, body = await http(exchange, "/api/v2/public/get_time")
        assert status == 502
        assert body.startswith("<html>")


async def test_the_clock_can_be_wrong() -> None:
    """A skew shows in every time the exchange tells, and signatures of the right time are stale."""
    async with running_exchange(wall=lambda: 1_795_000_000.0) as exchange, connected(exchange) as client:

        async def signed(at_ms: int) -> dict[str, Any]:
            words = {"client_id": "demo", "nonce": "x", "signature": sign("demo-secret", at_ms, "x")}
            return await client.ask("public/auth", grant_type="client_signature", timestamp=at_ms, **words)

        exchange.inject("skew", "-90")
        assert await client.result("public/get_time") == 1_794_999_910_000
        assert (await signed(1_795_000_000_000))["error"]["code"] == 13004
        assert "result" in await signed(1_794_999_910_000)


async def test_faults_are_ordered_by_time() -> None:
    """``close:1012@5/10`` closes after five seconds, and then every ten seconds."""
    now = [100.0]
    orders = ["close:1012@5/10", "repeat"]
    async with running_exchange(faults=orders, monotonic=lambda: now[0]) as exchange:
        for wait in (5, 10):
            async with connected(exchange) as client:
                await client.result("public/test")
                now[0] += wait
                closed = await _closed(client)
                assert closed.rcvd is not None
                assert closed.rcvd.code == 1012
        assert exchange.state.active_faults.repeat


async def test_a_fault_is_struck_over_http() -> None:
    """The control API lists faults, lets one happen, and says what it does not know."""
    async with running_exchange() as exchange, connected(exchange) as client:
        status, body = await http(exchange, "/control")
        assert set(json.loads(body)["faults"]) == set(FAULTS)
        assert (await http(exchange, "/control/nonsense", verb="POST"))[0] == 404
        assert (await http(exchange, "/control/lock?argument=nope", verb="POST"))[0] == 422
        status, body = await http(exchange, "/control/stall?argument=ticker.*", verb="POST")
        assert (status, json.loads(body)) == (200, {"struck": "stall"})
        status, body = await http(exchange, "/control")
        assert json.loads(body)["trouble"]["stalled"] == ["ticker.*"]
        assert await client.result("public/test")


def test_an_unknown_fault_is_named() -> None:
    """With what is known instead."""
    with pytest.raises(ValueError, match=r"unknown fault 'dorp': expected one of .*drop"):
        ScheduledFault.parse("dorp:3@5")
    with pytest.raises(ValueError, match="fault delay: expected a number, not 'soon'"):
        ScheduledFault.parse("delay:soon")
    assert ScheduledFault.parse("garbage:a@b/c") == ScheduledFault("garbage", "a@b/c")
    assert ScheduledFault.parse("drop/30") == ScheduledFault("drop", "", 30.0, 30.0)


def test_switches_are_read_from_words() -> None:
    """Kind and name are checked; what docs/exchange.md calls yes and no may be written so."""
    assert Switches.parse(["close_code=0", "sid=true"]) == Switches(close_code=0, sid=True)
    assert Switches.parse(["sid=yes", "nonce_reuse=no"]) == Switches(sid=True, nonce_reuse=False)
    with pytest.raises(ValueError, match="sid: expected true or false"):
        Switches.parse(["sid=on"])
    with pytest.raises(ValueError, match="unknown switch 'x'"):
        Switches.parse(["x=1"])
    with pytest.raises(ValueError, match="close_code: expected a number"):
        Switches.parse(["close_code=soon"])
