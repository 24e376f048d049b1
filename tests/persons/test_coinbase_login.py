"""A person logs in at Coinbase, over real sockets: who may, what is refused, and what is left behind."""

from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest

from cryptomarket.persons import coinbase_login
from cryptomarket.persons.coinbase_door import CoinbaseDoor
from cryptomarket.persons.credential_middleware import CDP_KEY
from cryptomarket.persons.login_flow import NOT_REGISTERED
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.web.api.coinbase import DENIED, FOREIGN

from .coinbase import BEGIN, CALLBACK, come_back, consent, go, running_coinbase, walk
from .site import ADA, BOB, Browser, connection_event, running_persons

SEVEN = replace(ADA, number=7)


async def outcome(browser: Browser, account: SimulatedAccount = ADA) -> dict[str, object]:
    """Log in at Coinbase; return the event that tells the result."""
    async with browser.stream() as tab:
        await walk(browser, account)
        return await connection_event(tab, "person", "login_failed")


async def told(browser: Browser, address: str) -> str:
    """Open the callback; return why the browser is told that nobody is logged in."""
    async with browser.stream() as tab:
        assert (await come_back(browser, address)).headers["location"] == "/?login=coinbase"
        reason = (await connection_event(tab, "login_failed"))["reason"]
    assert (await browser.me()).status_code == 401
    return str(reason)


async def test_a_person_logs_in_without_a_secret_in_our_hands(tmp_path: Path) -> None:
    """The browser returns from Coinbase, the stream tells who it is, and the balances can be read."""
    async with running_coinbase(tmp_path, accounts=(SEVEN, BOB)) as site:
        browser = await site.browser()
        person = await outcome(browser)
        assert (person["person_id"], person["email"]) == ("coinbase-7", "ada@example.com")
        assert (await browser.me()).json()["person_id"] == "coinbase-7"
        account = (await browser.client.get("/api/v1/persons/me/account")).json()
        assert "USDC" in {row["currency"] for row in account["accounts"]}
        assert site.persons.exchange.state.accounts.known  # a Deribit exchange runs beside it and was not asked


async def test_persons_of_both_doors_are_different_persons(tmp_path: Path) -> None:
    """The account 7 of Deribit and the account 7 of Coinbase have nothing in common, and both stay logged in."""
    async with running_coinbase(tmp_path, accounts=(SEVEN, BOB)) as site:
        by_key, by_coinbase = await site.browser(), await site.browser()
        async with by_key.stream() as tab:
            await by_key.log_in(SEVEN)
            assert (await connection_event(tab, "person"))["person_id"] == "7"
        assert (await outcome(by_coinbase))["person_id"] == "coinbase-7"
        await by_key.client.delete("/api/v1/persons/me")
        assert [(await one.me()).status_code for one in (by_key, by_coinbase)] == [401, 200]


async def test_who_began_must_be_who_returns(tmp_path: Path) -> None:
    """A link made of another person's return logs nobody in, ends nothing, and is used up."""
    async with running_coinbase(tmp_path) as site:
        attacker, victim = await site.browser(), await site.browser()
        await outcome(victim, BOB)
        address = await consent(await go(attacker))
        before = victim.cookies
        async with victim.stream() as tab:
            await come_back(victim, address)
            assert (await connection_event(tab, "login_failed"))["reason"] == FOREIGN
        assert victim.cookies == before
        assert (await victim.me()).json()["username"] == "bob"
        assert await told(attacker, address) == FOREIGN
        assert site.persons.gateway.refusals.counts()["state"] == 2


async def test_a_state_is_good_once(tmp_path: Path) -> None:
    """Who opens the callback's address again, as from a browser's history, changes nothing, with whichever cookie."""
    async with running_coinbase(tmp_path) as site:
        browser, again = await site.browser(), await site.browser()
        again.client.cookies = httpx2.Cookies(browser.client.cookies)
        address = await consent(await go(browser))
        async with browser.stream() as tab:
            await come_back(browser, address)
            await connection_event(tab, "person")
            await come_back(browser, address)
            assert (await connection_event(tab, "login_failed"))["reason"] == FOREIGN
        assert (await browser.me()).status_code == 200
        assert await told(again, address) == FOREIGN


async def test_an_address_that_nobody_began_logs_nobody_in(tmp_path: Path) -> None:
    """Without a state of ours there is only the sentence."""
    queries = ["", "code=x", "state=", "state=%00", "state=x&state=y&code=z", f"state={'x' * 3000}", "state=x&more=z"]
    async with running_coinbase(tmp_path) as site:
        for query in queries:
            assert await told(await site.browser(), f"{CALLBACK}?{query}") == FOREIGN, query


async def test_who_takes_too_long_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state lives for ten minutes."""
    monkeypatch.setattr(coinbase_login, "BEGUN_SECONDS", 0.05)
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        address = await consent(await go(browser))
        await anyio.sleep(0.06)
        assert await told(browser, address) == FOREIGN


async def test_who_declines_reads_so(tmp_path: Path) -> None:
    """Coinbase's error becomes a sentence."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        address = await consent(await go(browser), deny="1")
        assert "error=access_denied" in address
        assert await told(browser, address) == DENIED


async def test_who_declines_stays_logged_in_as_before(tmp_path: Path) -> None:
    """Only a login that takes its place ends the one that the browser has, as with a key."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        await outcome(browser, BOB)
        before = browser.cookies
        async with browser.stream() as tab:
            await come_back(browser, await consent(await go(browser), deny="1"))
            assert (await connection_event(tab, "login_failed"))["reason"] == DENIED
        assert browser.cookies == before
        assert (await browser.me()).json()["username"] == "bob"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("wallet:user:read wallet:buys:create offline_access", CoinbaseDoor.sentences.too_wide),
        ("wallet:user:read", CoinbaseDoor.sentences.no_right),
    ],
)
async def test_only_lasting_reading_is_kept(tmp_path: Path, asked: str, reason: str) -> None:
    """What allows more, or ends within an hour, is given back to Coinbase."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        address = (await go(browser)).replace(
            "wallet%3Auser%3Aread+wallet%3Aaccounts%3Aread+offline_access", asked.replace(":", "%3A").replace(" ", "+")
        )
        assert await told(browser, await consent(address)) == reason
        issued = site.coinbase.state.accounts.oauth
        assert [token.consent.ended for token in issued._access.values()] == [True]


async def test_a_wrong_registration_is_the_operators_fault(tmp_path: Path) -> None:
    """The person reads whom to tell, and nothing is charged to the address."""
    async with running_coinbase(tmp_path, coinbase_client_secret="wrong") as site:
        browser = await site.browser()
        assert (await outcome(browser))["reason"] == NOT_REGISTERED
        assert set((await site.persons.gateway.persons._limits.failures(["127.0.0.1"])).values()) == {0}


async def test_a_forged_code_is_charged_to_its_address(tmp_path: Path) -> None:
    """The right state with another code: the exchange was asked in vain."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        head, _, tail = (await consent(await go(browser))).partition("code=")
        forged = f"{head}code=forged&{tail.partition('&')[2]}"
        assert await told(browser, forged) == CoinbaseDoor.sentences.refused
        assert set((await site.persons.gateway.persons._limits.failures(["127.0.0.1"])).values()) == {1}


async def test_a_log_out_revokes_at_coinbase(tmp_path: Path) -> None:
    """The tokens end there too, soon after the answer."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        await outcome(browser)
        issued = site.coinbase.state.accounts.oauth
        assert [token.consent.ended for token in issued._access.values()] == [False]
        assert (await browser.client.delete("/api/v1/persons/me")).status_code == 204
        with anyio.fail_after(10):
            while not all(token.consent.ended for token in issued._access.values()):
                await anyio.sleep(0.01)


async def test_the_addresses_leave_no_trace(tmp_path: Path) -> None:
    """Neither redirect is stored or named to another site; the callback's leads to a page without the code."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        begun = await browser.client.get(BEGIN)
        for name, value in (("code_challenge_method", "S256"), ("response_type", "code"), ("client_id", "our-app")):
            assert f"{name}={value}" in begun.headers["location"]
        back = await come_back(browser, await consent(begun.headers["location"]))
        for answer in (begun, back):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
        assert "HttpOnly" in back.headers["set-cookie"]
        assert back.headers["location"] == "/?login=coinbase"


async def test_another_site_cannot_begin(tmp_path: Path) -> None:
    """A link on another site's page is refused, and an address may begin so often as it may log in."""
    async with running_coinbase(tmp_path, logins_per_minute=2) as site:
        browser = await site.browser()
        headers = {"sec-fetch-site": "cross-site"}
        assert (await browser.client.get(BEGIN, headers=headers)).status_code == 403
        assert [(await browser.client.get(BEGIN)).status_code for _ in range(3)] == [303, 303, 429]


async def test_without_a_client_id_it_is_not_offered(tmp_path: Path) -> None:
    """The addresses say so, and the page has no link to them."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        assert [(await browser.client.get(path)).status_code for path in (BEGIN, CALLBACK)] == [501, 501]
        assert BEGIN not in (await browser.client.get("/")).text


async def test_a_key_of_coinbase_is_not_taken(tmp_path: Path) -> None:
    """It would have to be kept: its private key signs anew every 15 minutes."""
    async with running_coinbase(tmp_path) as site:
        browser = await site.browser()
        assert BEGIN in (await browser.client.get("/")).text
        key = "organizations/0b9f/apiKeys/51c2"
        answer = await browser.log_in(SimulatedAccount(key, "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END"))
        assert answer.status_code == 422
        assert answer.json()["detail"] == f"expected {CDP_KEY}"
        assert key not in answer.text
