"""A gateway that offers log-in at Coinbase, the simulated Coinbase with its OAuth2 server, and browsers that go there.

The walk is that of a browser over real sockets: our link, Coinbase's page, the callback, the stream of our page.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.oauth_server import RegisteredClient

from .site import ADA, BOB, Browser, PersonSite, running_persons

__all__ = [
    "BEGIN",
    "CALLBACK",
    "CLIENT",
    "CoinbaseSite",
    "come_back",
    "consent",
    "go",
    "running_coinbase",
    "settings_of",
    "walk",
]

BEGIN, CALLBACK = "/api/v1/persons/coinbase", "/api/v1/persons/coinbase/callback"
CLIENT = RegisteredClient("our-app", "wP5kN1-secret-of-our-app_3Qd")


@dataclass
class CoinbaseSite:
    """A gateway for persons of both doors, and the two exchanges."""

    persons: PersonSite
    coinbase: Exchange

    async def browser(self) -> Browser:
        """A new browser that has opened the page."""
        return await self.persons.browser()


async def go(browser: Browser) -> str:
    """Follow the page's link; return the address at Coinbase."""
    answer = await browser.client.get(BEGIN, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def consent(address: str, account: SimulatedAccount = ADA, **answer: str) -> str:
    """Answer Coinbase's page, by default with consent; return the address of the callback."""
    async with httpx2.AsyncClient() as client:
        answered = await client.post(address, data=answer or {"account": account.client_id})
    assert answered.status_code == 303, answered.text
    return answered.headers["location"]


async def come_back(browser: Browser, address: str) -> httpx2.Response:
    """Open the callback as a browser does that Coinbase redirected; the tabs follow a new cookie."""
    parts, before = urlsplit(address), browser.cookies
    answer = await browser.client.get(f"{parts.path}?{parts.query}", headers={"sec-fetch-site": "cross-site"})
    if browser.cookies != before:
        for tab in browser.tabs:
            await tab.open(browser.cookies)
    return answer


async def walk(browser: Browser, account: SimulatedAccount = ADA) -> dict[str, str]:
    """Log in at Coinbase; return what must never be seen again: state, code."""
    address = await consent(await go(browser), account)
    answer = await come_back(browser, address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?login=coinbase"), answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@contextlib.asynccontextmanager
async def running_coinbase(
    folder: Path,
    *,
    accounts: Sequence[SimulatedAccount] = (ADA, BOB),
    coinbase: dict[str, Any] | None = None,
    **settings: object,
) -> AsyncIterator[CoinbaseSite]:
    """Run both exchanges and a gateway; ``coinbase`` are arguments of the simulated Coinbase."""
    async with running_exchange(
        door="coinbase-main", accounts=accounts, oauth_client=CLIENT, **(coinbase or {})
    ) as exchange:
        given: dict[str, Any] = {**settings_of(exchange), **settings}
        async with running_persons(folder, accounts=accounts, **given) as persons:
            yield CoinbaseSite(persons, exchange)


def settings_of(exchange: Exchange) -> dict[str, object]:
    """The settings of a gateway that offers log-in at the simulated Coinbase."""
    parts = urlsplit(exchange.http_url)
    return {
        "coinbase_client_id": CLIENT.client_id,
        "coinbase_client_secret": CLIENT.client_secret,
        "coinbase_http_url": exchange.http_url,
        "coinbase_login_url": f"{parts.scheme}://{parts.netloc}",
    }
