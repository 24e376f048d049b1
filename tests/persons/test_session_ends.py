"""How browser sessions end: evicted, replaced, or forgotten by the operator. Each hears why, and leaves no record."""

import json
from dataclasses import astuple
from pathlib import Path

import httpx2
import pytest
from cryptography.fernet import Fernet

from cryptomarket.deribit.error_codes import ERROR_CODES
from cryptomarket.errors import RequestRefused
from cryptomarket.persons import browser_sessions, credential_middleware, token_renewal
from cryptomarket.persons.browser_sessions import PERSON, SESSION
from cryptomarket.persons.coinbase_door import CoinbaseDoor
from cryptomarket.persons.login_flow import GONE, NO_ANSWER, NO_CACHE, NO_DOOR, NOT_REGISTERED, OUR_FAULT
from cryptomarket.persons.login_queue import UNANSWERED, _overloaded
from cryptomarket.persons.notifications import ENDED_BY_PERSON, EVICTED, EXPIRED, FORGOTTEN, REPLACED
from cryptomarket.persons.person_door import KeyDoor
from cryptomarket.persons.session_cookies import COOKIE
from cryptomarket.persons.token_renewal import ENDED, NARROWED, NOT_RENEWED, WIDENED
from cryptomarket.persons.vault import fingerprint
from cryptomarket.persons.waiting_logins import RESTARTS, TOO_MANY
from cryptomarket.web import rate_limit
from cryptomarket.web.api.coinbase import DENIED, FOREIGN
from cryptomarket.web.api.problems import NO_LOGINS
from tests.frontend import FRONTEND
from tests.processes import run_program
from tests.reader import reading
from tests.redis_server import running_redis

from .site import ADA, BOB, Browser, PersonSite, connection_event, running_persons


async def record(site: PersonSite, browser: Browser) -> bytes | None:
    """The record of the browser's session in the cache."""
    (found,) = await site.gateway.persons.sessions._cache.get(SESSION % fingerprint(browser.client.cookies[COOKIE]))
    return found


async def test_d6_an_evicted_session_hears_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one browser too many the oldest login ends: its stream hears it, its record is gone, the others stay."""
    monkeypatch.setattr(browser_sessions, "MAX_SESSIONS", 2)
    async with running_persons(tmp_path) as site:
        browsers = [await site.browser() for _ in range(3)]
        async with browsers[0].stream() as oldest, browsers[2].stream() as newest:
            for browser in browsers:
                await browser.log_in(ADA)
                if browser is browsers[0]:
                    await connection_event(oldest, "person")
                while (await browser.me()).status_code != 200:
                    pass
            await connection_event(newest, "person")
            assert "too many browsers" in (await connection_event(oldest, "logged_out"))["reason"]
        assert [(await browser.me()).status_code for browser in browsers] == [401, 200, 200]
        assert [await record(site, browser) is not None for browser in browsers] == [False, True, True]


async def test_d6_a_replaced_session_hears_why(tmp_path: Path) -> None:
    """Another log-in with a browser ends the first, also if it fails; streams with the old cookie hear that alone."""
    async with running_persons(tmp_path) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            ada = await connection_event(tab, "person")
            old = {"cookie": browser.cookies}
            async with reading(f"{site.url}/sse/?timer=3600", **old) as left:
                await connection_event(left, "person")
                await browser.log_in(BOB)
                assert "new log-in" in (await connection_event(left, "logged_out", "person"))["reason"]
                assert (await connection_event(tab, "person"))["username"] == "bob"
            async with httpx2.AsyncClient(base_url=site.url, headers=old) as client:
                assert (await client.get("/api/v1/persons/me")).status_code == 401
            await browser.log_in(ADA, "wrong")
            await connection_event(tab, "login_failed")
            assert (await browser.me()).status_code == 401
        assert await site.gateway.persons.sessions._cache.get(PERSON % ada["person_id"]) == [None]


@pytest.mark.system
async def test_d6_a_forgotten_person_hears_it_at_once(tmp_path: Path) -> None:
    """`persons forget` ends the login on the stream of a running gateway; the command does not count as a node."""
    key = Fernet.generate_key().decode()
    async with (
        running_redis(tmp_path) as server,
        running_persons(tmp_path, redis_url=server.url, secret_key=key) as site,
    ):
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            await connection_event(tab, "person")
            database = site.gateway.settings.database_url.get_secret_value()
            given = {"redis_url": server.url, "secret_key": key, "database_url": database}
            code, _, log = await run_program(tmp_path, "persons", "forget", "ada@example.com", **given)
            assert code == 0, log
            assert "operator" in (await connection_event(tab, "logged_out", seconds=3))["reason"]
        assert (await browser.me()).status_code == 401
        assert await record(site, browser) is None
        assert len(site.gateway._cluster.members()) == 1


SENTENCES = (KeyDoor.sentences, CoinbaseDoor.sentences)
FAILURES = {GONE, NO_ANSWER, NO_CACHE, NO_DOOR, OUR_FAULT, RESTARTS, TOO_MANY, UNANSWERED}
FAILURES |= {DENIED, FOREIGN, NOT_REGISTERED, *(text for one in SENTENCES for text in astuple(one) if text)}
#: What an answer to the POST of a log-in may say that was made as it should be.
REFUSALS = {
    NO_LOGINS,
    str(RequestRefused(422, credential_middleware.CDP_KEY)),
    str(_overloaded()),
    *(str(RequestRefused(429, expected)) for expected in (credential_middleware.TOO_MANY, rate_limit.TOO_MANY)),
}
ENDS = {
    token_renewal.NO_DOOR,
    ENDED,
    ENDED_BY_PERSON,
    EVICTED,
    EXPIRED,
    FORGOTTEN,
    NARROWED,
    NOT_RENEWED,
    REPLACED,
    WIDENED,
}


@pytest.mark.parametrize(
    "reason", sorted(FAILURES | REFUSALS | ENDS | {code.advice for code in ERROR_CODES.values() if code.advice})
)
def test_d6_every_reason_is_translated(reason: str) -> None:
    """The page shows why a login failed, is not renewed or ended in each of its languages."""
    for path in (FRONTEND / "messages").glob("*.json"):
        assert f"login.reason.{reason}" in json.loads(path.read_text()), path.name


@pytest.mark.parametrize("reason", [ENDED_BY_PERSON, REPLACED])
def test_the_page_knows_the_reasons_that_it_tells_its_other_tabs(reason: str) -> None:
    """The tab that asked for the end says it with the server's words, whose translation the others look up."""
    assert f'"{reason}"' in (FRONTEND / "login-dialog.js").read_text()
