"""Logins, tokens, scopes and sessions, against a clock that the test moves."""

import random
from typing import Any

import pytest

from cryptomarket.simulator.accounts import Accounts, SimulatedAccount
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.http import sign
from cryptomarket.simulator.rpc_errors import RpcError
from cryptomarket.simulator.scopes import FULL, granted
from cryptomarket.simulator.switches import Switches

from .client import connected

KEY = {"grant_type": "client_credentials", "client_id": "AMANDA", "client_secret": "AMANDASECRECT"}
READ_RIGHTS = "account:read trade:none wallet:none block_trade:none block_rfq:none custody:none"
READ_ONLY = f"session:me {READ_RIGHTS} expires:97200"


class World:
    """Accounts with a clock that stands."""

    def __init__(self, **switches: Any) -> None:
        self.now = 1_576_074_319.0
        self.accounts = Accounts(
            [SimulatedAccount("AMANDA", "AMANDASECRECT")],
            wall=lambda: self.now,
            switches=Switches(**switches),
            random=random.Random(1),
        )


def _code(refusal: pytest.ExceptionInfo[RpcError]) -> int:
    return refusal.value.code


def test_the_signature_of_the_documentation_is_accepted() -> None:
    """Deribit's own worked example logs in; the same with another nonce does not."""
    world = World()
    signature = "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"
    params = {
        "grant_type": "client_signature",
        "client_id": "AMANDA",
        "timestamp": 1576074319000,
        "nonce": "1iqt2wls",
        "data": "",
        "signature": signature,
    }
    assert sign("AMANDASECRECT", 1576074319000, "1iqt2wls") == signature
    assert world.accounts.authenticate(params, "a").account.client_id == "AMANDA"
    with pytest.raises(RpcError) as refused:
        world.accounts.authenticate(params | {"nonce": "other"}, "a")
    assert _code(refused) == 13004
    world.now += 61
    with pytest.raises(RpcError) as refused:
        world.accounts.authenticate(params, "a")
    assert _code(refused) == 13004


def test_a_nonce_can_be_refused_the_second_time() -> None:
    """Not confirmed of the real exchange, hence a switch, with the code of a stale stamp."""
    world = World(nonce_reuse=False, stale_signature_code=13009)
    params = {"grant_type": "client_signature", "client_id": "AMANDA", "timestamp": 1576074319000, "nonce": "x"}
    params["signature"] = sign("AMANDASECRECT", 1576074319000, "x")
    world.accounts.authenticate(params, "a")
    with pytest.raises(RpcError) as refused:
        world.accounts.authenticate(params, "a")
    assert _code(refused) == 13009


def test_a_wrong_secret_is_13004_without_data() -> None:
    """As recorded in 2026; an unknown key is the same."""
    world = World()
    for wrong in ({"client_secret": "no"}, {"client_id": "BOB"}):
        with pytest.raises(RpcError) as refused:
            world.accounts.authenticate(KEY | wrong, "a")
        assert (_code(refused), refused.value.data) == (13004, None)


@pytest.mark.parametrize(
    ("most", "requested", "words"),
    [
        ("account:read trade:read", "", {"connection", "account:read", "trade:read"}),
        ("account:read", "account:read_write wallet:read", {"connection", "account:read"}),
        ("account:read_write trade:read_write", "session:x trade:none", {"session:x", "account:read_write"}),
    ],
)
def test_a_scope_is_narrowed_silently(most: str, requested: str, words: set[str]) -> None:
    """A scope is at most the key's; other kinds get the key's level; it is of the connection without a session."""
    assert granted(most, requested)[0] == words | {"mainaccount"}


def test_expires_shortens_the_life_of_a_token() -> None:
    """The token says when it ends, and is dead then; its refresh token is not."""
    world = World()
    grant = world.accounts.authenticate(KEY | {"scope": READ_ONLY}, "a")
    assert grant.answer(None, Switches())["expires_in"] == 97200
    assert grant.access.split(".")[0] == str(int((world.now + 97200) * 1000))
    assert 280 < len(grant.access) < 340
    world.now += 97200
    with pytest.raises(RpcError) as refused:
        world.accounts.grant_of(grant.access, "a")
    assert _code(refused) == 13009
    renewed = world.accounts.authenticate({"grant_type": "refresh_token", "refresh_token": grant.refresh}, "b")
    assert renewed.session == "me"
    assert world.accounts.grant_of(renewed.access, "c") is renewed
    with pytest.raises(RpcError):
        world.accounts.authenticate({"grant_type": "refresh_token", "refresh_token": grant.refresh}, "b")


def test_d1_a_renewal_keeps_the_rights_of_its_login() -> None:
    """Without a scope exactly the old one, with one at most the key's; the session is the login's in both."""
    world = World()
    scope = f"session:me {READ_RIGHTS} expires:900"
    grant = world.accounts.authenticate(KEY | {"scope": scope}, "a")
    for requested in (None, f"{READ_RIGHTS} expires:900", f"{scope} session:you"):
        params = {"grant_type": "refresh_token", "refresh_token": grant.refresh}
        renewed = world.accounts.authenticate(params if requested is None else params | {"scope": requested}, "a")
        assert renewed.scope == {"account:read", "session:me", "expires:900", "mainaccount"}
        assert (renewed.session, renewed.expires_in) == ("me", 900)
        grant = renewed
    other = World(refresh_keeps_scope=False)
    wide = other.accounts.authenticate(KEY | {"scope": scope}, "a")
    wide = other.accounts.authenticate({"grant_type": "refresh_token", "refresh_token": wide.refresh}, "a")
    assert wide.scope == {*FULL.split(), "session:me", "mainaccount"}
    world.accounts.narrow("AMANDA", "trade:read")
    assert world.accounts.grant_of(grant.access, "a").may("account:read")
    renewed = world.accounts.authenticate({"grant_type": "refresh_token", "refresh_token": grant.refresh}, "a")
    assert renewed.scope == {"session:me", "expires:900", "mainaccount"}
    world.accounts.revoke("AMANDA")
    for refused in ({"grant_type": "refresh_token", "refresh_token": renewed.refresh}, KEY):
        with pytest.raises(RpcError) as error:
            world.accounts.authenticate(refused, "a")
        assert _code(error) == (13009 if "refresh_token" in refused else 13004)
    with pytest.raises(RpcError):
        world.accounts.grant_of(renewed.access, "a")


def test_a_connection_token_is_good_on_its_connection_alone() -> None:
    """And it dies with it; a session token survives."""
    world = World()
    bound = world.accounts.authenticate(KEY, "a")
    named = world.accounts.authenticate(KEY | {"scope": "session:x"}, "a")
    with pytest.raises(RpcError) as refused:
        world.accounts.grant_of(bound.access, "b")
    assert _code(refused) == 13009
    assert world.accounts.grant_of(named.access, "b") is named
    world.accounts.connection_closed("a")
    assert (world.accounts.alive(bound), world.accounts.alive(named)) == (False, True)


def test_the_17th_session_evicts_the_one_longest_without_refresh() -> None:
    """Refreshing keeps a session; logins of scope connection count only by a switch."""
    world = World()
    grants = []
    for number in range(16):
        world.now += 1
        grants.append(world.accounts.authenticate(KEY | {"scope": f"session:{number}"}, "a"))
    world.now += 1
    first = world.accounts.authenticate({"grant_type": "refresh_token", "refresh_token": grants[0].refresh}, "a")
    world.accounts.authenticate(KEY, "a")
    assert all(world.accounts.alive(grant) for grant in (first, *grants[1:]))
    world.accounts.authenticate(KEY | {"scope": "session:new"}, "a")
    assert world.accounts.alive(first)
    assert not world.accounts.alive(grants[1])
    assert all(world.accounts.alive(grant) for grant in grants[2:])


def test_a_token_is_exchanged_or_forked() -> None:
    """A fork is a new session of the same person; an exchange without a session takes the old login away."""
    world = World()
    first = world.accounts.authenticate(KEY | {"scope": "session:x"}, "a")
    second = world.accounts.fork(first.refresh, "y", "a")
    assert (second.session, world.accounts.alive(first)) == ("y", True)
    with pytest.raises(RpcError) as refused:
        world.accounts.exchange(second.refresh, 1, "", "a")
    assert _code(refused) == 13021
    third = world.accounts.exchange(second.refresh, second.account.identity, "", "a")
    assert (world.accounts.alive(second), world.accounts.alive(third)) == (False, True)
    with pytest.raises(RpcError) as refused:
        world.accounts.fork(third.refresh, "z", "a")
    assert _code(refused) == -32602


def test_a_secret_shows_nowhere() -> None:
    """Neither an account nor a login tells it in its repr."""
    world = World()
    grant = world.accounts.authenticate(KEY, "a")
    text = repr(world.accounts.known["AMANDA"]) + repr(grant)
    assert "AMANDASECRECT" not in text
    assert grant.access not in text
    assert grant.refresh not in text


async def test_the_identity_comes_with_extended_alone() -> None:
    """get_account_summaries contains the person only on request; a call the scope does not cover is refused."""
    async with running_exchange() as exchange, connected(exchange) as client:
        answer = await client.login(READ_ONLY)
        assert "read_write" not in answer["scope"]
        assert "email" not in await client.result("private/get_account_summaries")
        shown = await client.result("private/get_account_summaries", extended=True)
        assert (shown["email"], shown["username"], shown["type"]) == ("demo@example.com", "demo", "main")
        assert isinstance(shown["id"], int)
        assert await client.error("private/get_positions", currency="BTC") == 13021
        missing = await client.ask("private/get_account_summary")
        assert missing["error"]["data"] == {"reason": "value required", "param": "currency"}


@pytest.mark.parametrize("adopts", [True, False])
async def test_who_is_remembered_after_a_second_login_is_a_switch(adopts: bool) -> None:
    """Calls without a token belong to the last or to the first login of the connection."""
    accounts = [SimulatedAccount("A", "a", "a@example.com"), SimulatedAccount("B", "b", "b@example.com")]
    switches = Switches(adopts_last_login=adopts)
    async with running_exchange(accounts=accounts, switches=switches) as exchange, connected(exchange) as client:
        for name in ("A", "B"):
            words = {"client_id": name, "client_secret": name.lower(), "scope": "session:x"}
            await client.result("public/auth", grant_type="client_credentials", **words)
        shown = await client.result("private/get_account_summaries", extended=True)
        assert shown["email"] == ("b@example.com" if adopts else "a@example.com")


async def test_a_portfolio_is_told_to_its_owner_in_lower_case() -> None:
    """user.portfolio.BTC is delivered as user.portfolio.btc, with the requested label, and to no other session."""
    async with running_exchange() as exchange, connected(exchange) as client, connected(exchange) as other:
        channel = "user.portfolio.BTC"
        assert await other.error("private/subscribe", channels=[channel]) == 13009
        assert await other.result("public/subscribe", channels=[channel]) == []
        await client.login()
        assert await client.result("private/subscribe", channels=[channel], label="mine") == [channel]
        notified = (await client.notification())["params"]
        assert (notified["channel"], notified["label"], notified["data"]["currency"]) == (
            "user.portfolio.btc",
            "mine",
            "BTC",
        )


def test_only_the_documented_kinds_may_be_none_if_the_switch_says_so() -> None:
    """Whether the exchange knows `none` of every kind of right is not confirmed."""
    world = World(any_kind_none=False)
    with pytest.raises(RpcError) as refused:
        world.accounts.authenticate(KEY | {"scope": READ_ONLY}, "a")
    assert refused.value.code == -32602
    grant = world.accounts.authenticate(KEY | {"scope": "account:read trade:none wallet:none"}, "a")
    assert "account:read" in grant.scope
