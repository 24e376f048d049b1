"""The doors of Coinbase: which methods, channels and logins they answer, and when they close a connection."""

import json
import time
from typing import Any

import anyio
import pytest

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.coinbase_keys import KeyPair, new_key_pair, signed_token
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.switches import Switches

from .client import Client, connected, http

STREAMS, MAIN = "coinbase-streams", "coinbase-main"
INDEX, TICKER = "deribit_price_index.btc_usdc", "ticker.BTC_USDC-PERPETUAL.100ms"
NAME = "organizations/a/apiKeys/b"
PAIR = new_key_pair()


def account(pair: KeyPair = PAIR, name: str = NAME) -> SimulatedAccount:
    """A person with a CDP key."""
    return SimulatedAccount(name, email="ann@example.com", public_key=pair.public)


def jwt(pair: KeyPair = PAIR, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token for a login now, with other header fields or claims; a claim of None is left out."""
    now = int(time.time())
    whole = {"sub": NAME, "iss": "cdp", "nbf": now, "exp": now + 120} | claims
    head = {"alg": "EdDSA", "kid": NAME, "nonce": "0123456789abcdef", "typ": "JWT"} | (header or {})
    return signed_token(pair.private, head, {name: value for name, value in whole.items() if value is not None})


async def _closed(client: Client) -> tuple[int, str]:
    """The code and reason that the exchange closes with."""
    with anyio.fail_after(30):
        await client.socket.wait_closed()
    assert client.socket.close_code is not None
    return client.socket.close_code, client.socket.close_reason or ""


async def test_the_streams_door_subscribes_and_answers_nothing_else() -> None:
    """Public channels, heartbeats and tests work; every other method is not in its allowlist."""
    async with running_exchange(door=STREAMS) as exchange, connected(exchange) as client:
        wanted = [INDEX, TICKER, "block_rfq.trades.USDC", "user.portfolio.BTC", "ticker.BTC-PERPETUAL.100ms", "bogus"]
        accepted = [TICKER, INDEX, "block_rfq.trades.USDC"]
        assert await client.result("public/subscribe", channels=wanted) == accepted
        assert (await client.notification(TICKER))["params"]["data"]["instrument_name"] == "BTC_USDC-PERPETUAL"
        assert await client.error("public/subscribe", channels=["ticker.BTC_USDC-PERPETUAL.raw"]) == 13778
        assert await client.result("public/unsubscribe", channels=[INDEX]) == [INDEX]
        assert await client.result("public/set_heartbeat", interval=10) == "ok"
        tested = await client.ask("public/test")
        assert (tested["result"], tested["testnet"]) == ({"version": "1.2.26"}, False)
        for method in ("public/hello", "public/auth", "public/get_time", "private/subscribe", "private/get_positions"):
            refused = (await client.ask(method, client_name="a", client_version="1"))["error"]
            assert refused == {"code": -32601, "message": "method not in allowlist"}
        status, body = await http(exchange, "/api/v2/public/get_time")
        assert (status, json.loads(body)["error"]["code"]) == (400, -32601)


async def test_the_main_door_lists_linear_perpetuals_and_subscribes_nothing_public() -> None:
    """public/subscribe is not in its allowlist; channels of market data vanish from private/subscribe."""
    async with running_exchange(door=MAIN, accounts=[account()]) as exchange, connected(exchange) as client:
        refused = (await client.ask("public/subscribe", channels=[INDEX]))["error"]
        assert refused == {"code": -32601, "message": "method not in allowlist"}
        assert await client.error("public/fork_token", refresh_token="x", session_name="y") == -32601
        listed = [row["instrument_name"] for row in await client.result("public/get_instruments", currency="any")]
        assert "BTC_USDC-PERPETUAL" in listed
        assert all(name.endswith("_USDC-PERPETUAL") for name in listed)
        assert "btc_usdc" in await client.result("public/get_index_price_names")
        assert await client.error("private/subscribe", channels=["user.portfolio.BTC"]) == 13009
        answer = await client.result("public/auth", grant_type="coinbase_cdp", token=jwt())
        assert set(answer) == {"expires_in", "scope", "token_type", "sid"}
        assert answer["expires_in"] == 3000
        channels = ["user.portfolio.BTC", "block_trade_confirmations", "block_rfq.maker.USDC"]
        assert await client.result("private/subscribe", channels=[*channels, TICKER, INDEX]) == channels
        shown = await client.result("private/get_account_summaries", extended=True)
        assert shown["email"] == "ann@example.com"
        assert [row["instrument_name"] for row in await client.result("private/get_positions")] == [
            "BTC_USDC-PERPETUAL"
        ]


async def test_a_token_of_http_is_no_login_of_a_socket_nor_the_other_way_round() -> None:
    """Over HTTP a bearer for 15 minutes without a refresh token; over WebSocket the connection is the person."""
    switches = Switches(coinbase_socket_token=True)
    async with (
        running_exchange(door=MAIN, accounts=[account()], switches=switches) as exchange,
        connected(exchange) as client,
    ):
        body = {"jsonrpc": "2.0", "id": 1, "method": "public/auth"}
        body["params"] = {"grant_type": "coinbase_cdp", "token": jwt()}
        status, text = await http(exchange, "/api/v2/public/auth", verb="POST", body=json.dumps(body).encode())
        answer = json.loads(text)["result"]
        assert (status, set(answer)) == (200, {"expires_in", "scope", "token_type", "access_token"})
        assert answer["expires_in"] == 900
        summaries = "/api/v2/private/get_account_summaries?extended=true"
        bearer = f"Authorization: Bearer {answer['access_token']}\r\n"
        assert json.loads((await http(exchange, summaries, headers=bearer))[1])["result"]["email"] == "ann@example.com"
        assert await client.error("private/get_account_summaries", access_token=answer["access_token"]) == 13009
        of_socket = (await client.result("public/auth", grant_type="coinbase_cdp", token=jwt()))["access_token"]
        bearer = f"Authorization: Bearer {of_socket}\r\n"
        assert json.loads((await http(exchange, summaries, headers=bearer))[1])["error"]["code"] == 13009


@pytest.mark.parametrize("grant", ["client_credentials", "client_signature", "refresh_token", None])
async def test_grants_of_deribit_are_refused_at_coinbase(grant: str | None) -> None:
    """The main door knows coinbase_cdp and coinbase_oauth2 alone."""
    async with running_exchange(door=MAIN, accounts=[account()]) as exchange, connected(exchange) as client:
        params = {"client_id": NAME, "client_secret": "x"} | ({"grant_type": grant} if grant else {})
        refused = (await client.ask("public/auth", **params))["error"]
        reason = "invalid value" if grant else "value required"
        assert (refused["code"], refused["data"]) == (-32602, {"reason": reason, "param": "grant_type"})


async def test_both_kinds_of_cdp_keys_log_in() -> None:
    """Ed25519 (EdDSA) and P-256 (ES256)."""
    other, name = new_key_pair("ES256"), "organizations/a/apiKeys/c"
    people = [account(), account(other, name)]
    async with running_exchange(door=MAIN, accounts=people) as exchange, connected(exchange) as client:
        assert await client.result("public/auth", grant_type="coinbase_cdp", token=jwt())
        token = jwt(other, header={"alg": "ES256", "kid": name}, sub=name)
        assert await client.result("public/auth", grant_type="coinbase_cdp", token=token)


NOW = int(time.time())


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"alg": "ES256"}, {}),
        ({"alg": "none"}, {}),
        ({"kid": "organizations/a/apiKeys/z"}, {"sub": "organizations/a/apiKeys/z"}),
        ({"nonce": ""}, {}),
        ({}, {"sub": "other"}),
        ({}, {"iss": "coinbase-cloud"}),
        ({}, {"uri": "GET api.coinbase.com/api"}),
        ({}, {"nbf": None}),
        ({}, {"nbf": NOW + 3600, "exp": NOW + 3660}),
        ({}, {"nbf": NOW - 200, "exp": NOW - 100}),
        ({}, {"nbf": NOW - 10, "exp": NOW + 500}),
    ],
)
async def test_a_token_with_a_wrong_field_is_refused(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Algorithm, key, nonce, names and times are checked: 13004, and the connection stays."""
    async with running_exchange(door=MAIN, accounts=[account()]) as exchange, connected(exchange) as client:
        refused = (await client.ask("public/auth", grant_type="coinbase_cdp", token=jwt(header=header, **claims)))[
            "error"
        ]
        assert refused == {"code": 13004, "message": "invalid_credentials"}
        assert await client.result("public/test")


async def test_a_token_that_the_key_did_not_sign_is_refused() -> None:
    """Another key's signature, a changed one, and what is no token at all."""
    head, claims, _ = jwt().split(".")
    tokens = ["x", "a.b.c", "é.é.é", "e30.e30.AAAA", jwt(new_key_pair()), f"{head}.{claims}.{'A' * 86}"]
    async with running_exchange(door=MAIN, accounts=[account()]) as exchange, connected(exchange) as client:
        for token in tokens:
            assert await client.error("public/auth", grant_type="coinbase_cdp", token=token) == 13004


@pytest.mark.parametrize("door", [STREAMS, MAIN])
async def test_a_client_that_sends_nothing_for_30_s_is_closed_with_1011(door: str) -> None:
    """Pings of WebSocket do not count; a request does."""
    clock = [1000.0]
    async with running_exchange(door=door, monotonic=lambda: clock[0]) as exchange, connected(exchange) as client:
        clock[0] += 29
        await client.result("public/test")
        clock[0] += 29
        await (await client.socket.ping())
        await client.result("public/test")
        clock[0] += 29.9
        await (await client.socket.ping())
        assert exchange.sessions
        clock[0] += 0.2
        assert await _closed(client) == (1011, "")


@pytest.mark.parametrize(("door", "expected"), [("deribit", 429), (MAIN, 400)])
async def test_too_many_requests_over_http_have_no_429_at_coinbase(door: str, expected: int) -> None:
    """The connection ends after the answer at both."""
    async with running_exchange(door=door) as exchange:
        await http(exchange, "/api/v2/public/get_time")
        exchange.inject("too_many")
        status, body = await http(exchange, "/api/v2/public/get_time")
        assert (status, json.loads(body)["error"]["code"]) == (expected, 10028)


async def test_logging_out_at_coinbase_closes_with_1000_logout() -> None:
    """There is no answer; the switch of other ends does not change this one."""
    people, switches = [account()], Switches(close_code=0)
    async with (
        running_exchange(door=MAIN, accounts=people, switches=switches) as exchange,
        connected(exchange) as client,
    ):
        await client.result("public/auth", grant_type="coinbase_cdp", token=jwt())
        await client.send({"jsonrpc": "2.0", "id": 9, "method": "private/logout", "params": {}})
        assert await _closed(client) == (1000, "logout")


async def test_an_ordered_error_repeats_the_token_of_a_log_in() -> None:
    """Coinbase's own client says that messages may: no client may write one down as it is."""
    async with running_exchange(door=MAIN) as exchange, connected(exchange) as client:
        exchange.inject("error", "public/auth:13004")
        refused = (await client.ask("public/auth", grant_type="coinbase_oauth2", token="a-token"))["error"]
        assert refused == {"code": 13004, "message": "invalid_credentials: a-token"}


async def test_an_unknown_door_is_named() -> None:
    """With the doors that there are."""
    with pytest.raises(ValueError, match="unknown door 'back': expected one of deribit, coinbase-streams"):
        async with running_exchange(door="back"):
            pass
