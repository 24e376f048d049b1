"""Coinbase's OAuth2 server over real sockets: consent, PKCE, refresh tokens that are good once, and its faults."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import pytest

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.oauth_server import RegisteredClient
from cryptomarket.simulator.switches import Switches

from .client import connected, http

DOOR = "coinbase-main"
REDIRECT = "http://127.0.0.1:8000/api/v1/persons/coinbase/callback?from=x"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#: Worked example of RFC 7636, appendix B.
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
READING = "wallet:user:read wallet:accounts:read offline_access"
PEOPLE = [
    SimulatedAccount("ann-key", email="ann@example.com"),
    SimulatedAccount("bob-key", email="bob@example.com"),
]


def asking(**others: str) -> str:
    """The address that an application sends a person to; a parameter that is empty is left out."""
    asked = {
        "response_type": "code",
        "client_id": "demo-app",
        "redirect_uri": REDIRECT,
        "scope": READING,
        "state": "12345678",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "login_hint": "ann@example.com",
    } | others
    return "/oauth2/auth?" + urlencode({name: value for name, value in asked.items() if value})


async def fetch(exchange: Exchange, target: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """Status, header fields and body of a GET, or of a POST with a form."""
    body = urlencode(form or {}).encode()
    with anyio.fail_after(30):
        async with await anyio.connect_tcp(exchange.host, exchange.port) as stream:
            verb = "GET" if form is None else "POST"
            head = f"{verb} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send(head.encode() + body)
            received = b""
            async for chunk in stream:
                received += chunk
    lines, _, content = received.decode().partition("\r\n\r\n")
    first, *fields = lines.split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(first.split()[1]), headers, content


async def answered(exchange: Exchange, target: str, form: dict[str, str] | None = None) -> dict[str, str]:
    """The parameters that the browser carries back to the application."""
    status, headers, _ = await fetch(exchange, target, form)
    assert status == 303
    assert headers["location"].startswith(REDIRECT)
    return {name: values[0] for name, values in parse_qs(urlsplit(headers["location"]).query).items()}


async def tokens(exchange: Exchange, **form: str) -> tuple[int, dict[str, Any]]:
    """The answer of the token endpoint."""
    status, headers, body = await fetch(exchange, "/oauth2/token", {"client_id": "demo-app"} | form)
    assert headers["cache-control"] == "no-store"
    return status, json.loads(body)


async def redeemed(exchange: Exchange, **others: str) -> dict[str, Any]:
    """The tokens of a person who consents at once."""
    code = (await answered(exchange, asking(**others)))["code"]
    status, answer = await tokens(
        exchange, grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=VERIFIER
    )
    assert status == 200, answer
    return answer


async def login(exchange: Exchange, token: str) -> dict[str, Any]:
    """The whole answer of public/auth to an access token of Coinbase."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "public/auth"}
    params = {"grant_type": "coinbase_oauth2", "token": token}
    body = json.dumps(request | {"params": params}).encode()
    found = json.loads((await http(exchange, "/api/v2/public/auth", verb="POST", body=body))[1])
    assert isinstance(found, dict)
    return found


def test_the_challenge_is_that_of_the_verifier() -> None:
    """The constants of these tests are the example of RFC 7636."""
    assert base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode() == CHALLENGE


async def test_a_person_allows_an_application_that_reads_the_account() -> None:
    """Consent, code, tokens, login at the exchange, private calls with its token; writing is not allowed."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange, connected(exchange) as client:
        carried = await answered(exchange, asking())
        assert set(carried) == {"from", "code", "state"}
        assert carried["state"] == "12345678"
        issued = await redeemed(exchange)
        assert set(issued) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
        assert (issued["expires_in"], issued["scope"], issued["token_type"]) == (3600, READING, "bearer")
        answer = (await login(exchange, issued["access_token"]))["result"]
        assert (answer["expires_in"], answer["scope"]) == (900, "wallet:user:read wallet:accounts:read")
        bearer = f"Authorization: Bearer {answer['access_token']}\r\n"
        status, body = await http(exchange, "/api/v2/private/get_account_summaries?extended=true", headers=bearer)
        assert (status, json.loads(body)["result"]["email"]) == (200, "ann@example.com")
        grant = exchange.state.accounts.grant_of(answer["access_token"], client)
        assert {word for word in grant.scope if word.endswith("write")} == set()
        await client.result("public/auth", grant_type="coinbase_oauth2", token=issued["access_token"])
        assert (await client.result("private/get_account_summaries", extended=True))["email"] == "ann@example.com"


async def test_a_person_chooses_the_account_on_the_page() -> None:
    """Without login_hint there is a page with a button for each account, and one to deny."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        status, headers, page = await fetch(exchange, asking(login_hint=""))
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert 'value="bob-key">Allow as bob@example.com<' in page
        assert set(await answered(exchange, asking(login_hint=""), {"account": "bob-key"})) == {"from", "code", "state"}
        denied = await answered(exchange, asking(), {"deny": "1"})
        assert (denied["error"], denied["state"]) == ("access_denied", "12345678")


@pytest.mark.parametrize(
    ("others", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"state": "short"}, "invalid_request"),
        ({"scope": "wallet:user:read everything"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
    ],
)
async def test_a_wrong_request_is_carried_back_as_an_error(others: dict[str, str], error: str) -> None:
    """To the address that is registered, with the state."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        assert (await answered(exchange, asking(**others)))["error"] == error


@pytest.mark.parametrize(
    "others",
    [
        {"client_id": "other"},
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "https://127.0.0.1@evil.example/callback"},
        {"redirect_uri": "http://ann@127.0.0.1/callback"},
        {"redirect_uri": "http://127.0.0.1/callback#fragment"},
        {"redirect_uri": "http://[::1/callback"},
    ],
)
async def test_nobody_is_sent_to_an_address_that_is_not_registered(others: dict[str, str]) -> None:
    """The person sees an error of the server; the browser is not redirected."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        assert (await fetch(exchange, asking(**others)))[0] == 400


@pytest.mark.parametrize(
    ("wrong", "status", "error"),
    [
        ({"code_verifier": "x" * 43}, 400, "invalid_grant"),
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:9/"}, 400, "invalid_grant"),
        ({"redirect_uri": ""}, 400, "invalid_request"),
        ({"code": "other"}, 400, "invalid_grant"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "unexpected"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
    ],
)
async def test_a_code_is_for_its_verifier_address_and_client(wrong: dict[str, str], status: int, error: str) -> None:
    """Errors are those of RFC 6749. A refused request does not use the code up."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        code = (await answered(exchange, asking()))["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
        refused = await tokens(exchange, **(form | wrong))
        assert (refused[0], refused[1]["error"]) == (status, error)
        assert (await tokens(exchange, **form))[0] == 200
        assert (await tokens(exchange, **form))[1]["error"] == "invalid_grant"


async def test_a_client_with_a_secret_must_show_it() -> None:
    """In the form."""
    client = RegisteredClient("mine", "s3cret", redirect_uris=("https://gateway.example/callback",))
    assert "s3cret" not in repr(client)
    async with running_exchange(door=DOOR, accounts=PEOPLE, oauth_client=client) as exchange:
        address = "https://gateway.example/callback"
        _, headers, _ = await fetch(exchange, asking(client_id="mine", redirect_uri=address))
        form = {"grant_type": "authorization_code", "redirect_uri": address, "code_verifier": VERIFIER}
        form |= {"client_id": "mine", "code": parse_qs(urlsplit(headers["location"]).query)["code"][0]}
        assert (await tokens(exchange, **form))[0] == 401
        assert (await tokens(exchange, **form, client_secret="s3cret"))[0] == 200


async def test_a_refresh_token_needs_offline_access() -> None:
    """Without the scope the access token is all there is."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        assert "refresh_token" not in await redeemed(exchange, scope="wallet:user:read")


@pytest.mark.parametrize("revokes", [True, False])
async def test_a_refresh_token_is_good_once(revokes: bool) -> None:
    """Used again it is refused, and ends every token of its log-in, by a switch."""
    switches = Switches(coinbase_reuse_revokes=revokes)
    async with running_exchange(door=DOOR, accounts=PEOPLE, switches=switches) as exchange:
        first, other = await redeemed(exchange), await redeemed(exchange)
        status, second = await tokens(exchange, grant_type="refresh_token", refresh_token=first["refresh_token"])
        assert (status, second["scope"]) == (200, READING)
        assert second["refresh_token"] != first["refresh_token"]
        again = await tokens(exchange, grant_type="refresh_token", refresh_token=first["refresh_token"])
        assert (again[0], again[1]["error"]) == (401, "invalid_grant")
        status, _ = await tokens(exchange, grant_type="refresh_token", refresh_token=second["refresh_token"])
        assert status == (401 if revokes else 200)
        assert ("error" in await login(exchange, second["access_token"])) == revokes
        assert "result" in await login(exchange, other["access_token"])


async def test_an_access_token_of_coinbase_lives_an_hour() -> None:
    """Afterwards the exchange refuses it; its own token lives a quarter of an hour."""
    now = [1_795_161_600.0]
    async with running_exchange(door=DOOR, accounts=PEOPLE, wall=lambda: now[0]) as exchange:
        issued = await redeemed(exchange)
        now[0] += 3599
        answer = (await login(exchange, issued["access_token"]))["result"]
        now[0] += 1
        assert (await login(exchange, issued["access_token"]))["error"]["code"] == 13004
        bearer = f"Authorization: Bearer {answer['access_token']}\r\n"
        assert (await http(exchange, "/api/v2/private/get_subaccounts", headers=bearer))[0] == 200
        now[0] += 899
        assert "13009" in (await http(exchange, "/api/v2/private/get_subaccounts", headers=bearer))[1]
        status, issued = await tokens(exchange, grant_type="refresh_token", refresh_token=issued["refresh_token"])
        assert (status, "result" in await login(exchange, issued["access_token"])) == (200, True)


async def test_the_faults_of_the_oauth_server() -> None:
    """Refused and late refreshes, expired tokens, and a person who takes the consent back."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        ann, bob = await redeemed(exchange), await redeemed(exchange, login_hint="bob-key")
        exchange.inject("oauth_refuse", "temporarily_unavailable")
        refused = await tokens(exchange, grant_type="refresh_token", refresh_token=ann["refresh_token"])
        assert refused[1]["error"] == "temporarily_unavailable"
        exchange.inject("clear")
        exchange.inject("oauth_delay", "0.2")
        started = anyio.current_time()
        status, ann = await tokens(exchange, grant_type="refresh_token", refresh_token=ann["refresh_token"])
        assert (status, anyio.current_time() - started >= 0.2) == (200, True)
        exchange.inject("clear")
        exchange.inject("oauth_expire")
        assert "error" in await login(exchange, ann["access_token"])
        status, ann = await tokens(exchange, grant_type="refresh_token", refresh_token=ann["refresh_token"])
        assert "result" in await login(exchange, ann["access_token"])
        exchange.inject("oauth_revoke", "ann-key")
        assert "error" in await login(exchange, ann["access_token"])
        status, _ = await tokens(exchange, grant_type="refresh_token", refresh_token=ann["refresh_token"])
        assert status == 401
        status, bob = await tokens(exchange, grant_type="refresh_token", refresh_token=bob["refresh_token"])
        assert "result" in await login(exchange, bob["access_token"])
        with pytest.raises(ValueError, match="unknown key 'nobody'"):
            exchange.inject("oauth_revoke", "nobody")


async def test_an_application_gives_the_consent_back() -> None:
    """The revocation endpoint answers 200 to every token; the tokens of the log-in end."""
    async with running_exchange(door=DOOR, accounts=PEOPLE) as exchange:
        issued = await redeemed(exchange)
        assert (await fetch(exchange, "/oauth2/revoke", {"token": "unknown"}))[0] == 200
        assert "result" in await login(exchange, issued["access_token"])
        assert (await fetch(exchange, "/oauth2/revoke", {"token": issued["access_token"]}))[0] == 200
        assert "error" in await login(exchange, issued["access_token"])


@pytest.mark.parametrize("door", ["deribit", "coinbase-streams"])
async def test_other_doors_have_no_oauth_server(door: str) -> None:
    """Its paths are not found there."""
    async with running_exchange(door=door) as exchange:
        assert (await fetch(exchange, asking()))[0] == 404
        assert (await fetch(exchange, "/oauth2/token", {"grant_type": "refresh_token"}))[0] == 404
