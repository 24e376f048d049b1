"""Persons with Deribit keys log in over HTTP where the host of prices takes no log-in, by the same code."""

import time
from typing import Any

import pytest

from cryptomarket.app.person_calls import PersonCalls
from cryptomarket.deribit.auth import READ_ONLY_SCOPE, Secret
from cryptomarket.deribit.doors import DOORS
from cryptomarket.deribit.http_calls import HttpCalls
from cryptomarket.deribit.http_transport import HttpTransport
from cryptomarket.deribit.oauth_client import OAuthApplication
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.errors import ExchangeRefused
from cryptomarket.persons.grants import login_ended
from cryptomarket.persons.person import Person
from cryptomarket.persons.person_door import KeyDoor
from cryptomarket.simulator.exchange import running_exchange

from .site import ADA


def person_calls(door: str, keys_url: str | None = None) -> PersonCalls:
    """What a gateway at the door has, without log-in at Coinbase."""
    nothing = {"at_coinbase": None, "proxy": None, "ca_file": None}
    application = OAuthApplication("", Secret(""))
    return PersonCalls(DOORS[door], RateLimiter(), keys_url=keys_url, application=application, **nothing)


def test_only_where_the_host_takes_no_log_in_calls_go_over_http() -> None:
    """At Deribit they share the one connection; nobody is offered Coinbase without a client id."""
    assert {door: person_calls(door).call is not None for door in DOORS} == {
        "deribit": False,
        "deribit-test": False,
        "coinbase": True,
    }
    assert person_calls("coinbase").coinbase is None


async def test_keys_log_in_at_the_address_that_is_set() -> None:
    """A gateway at the door of Coinbase can be aimed at a simulated exchange in full."""
    async with running_exchange() as exchange, person_calls("coinbase", exchange.http_url) as calls:
        assert calls.call is not None
        assert int(bytes(await calls.call("public/get_time", {})))


async def test_a_key_logs_in_and_is_renewed_over_http() -> None:
    """Signature, renewal and balances go over HTTP; the token of a call is in its header alone."""
    async with running_exchange(accounts=(ADA,)) as exchange, HttpTransport() as transport:
        door = KeyDoor(HttpCalls(exchange.http_url, transport).call, exchange_time=time.time)
        granted = await door.log_in(ADA.client_id, bytearray(ADA.client_secret.encode()), "s1")
        assert set(READ_ONLY_SCOPE.split()) & set(granted.scope.split())
        now = time.time()
        person = Person("1", "ada", "", granted.scope, 0, 0, now, now + 900, "cryptomarket-s1", granted.tokens)
        renewed = await door.renewed(person)
        assert renewed.tokens != granted.tokens
        summary = await door.call("private/get_account_summaries", {"access_token": renewed.tokens.access})
        assert b"BTC" in bytes(summary)
        with pytest.raises(ExchangeRefused) as caught:
            await door.call("private/get_account_summaries", {"access_token": "wrong"})
        assert login_ended(caught.value)


class EchoingTransport(HttpTransport):
    """A gateway whose errors repeat what was sent."""

    async def _answer(self, verb: str, url: str, **how: Any) -> tuple[int, bytes]:
        sent = f"{how['headers']} {how['content']}".replace('"', "'")
        return 400, f'{{"error":{{"code":13009,"message":"{sent}","data":{{"reason":"{sent}"}}}}}}'.encode()


@pytest.mark.parametrize(
    ("method", "name"), [("private/get_account_summary", "access_token"), ("public/auth", "token")]
)
async def test_a_refusal_that_repeats_a_token_is_not_repeated(method: str, name: str) -> None:
    """The text of an error goes to the log; its code says enough."""
    calls = HttpCalls("http://exchange.test/api/v2", EchoingTransport())
    with pytest.raises(ExchangeRefused) as caught:
        await calls.call(method, {name: "eyJ-canary"})
    assert caught.value.code == 13009
    assert "eyJ-canary" not in f"{caught.value} {caught.value!r}"
