"""Who planted the cookie of a browser, or knows an old one, learns nothing of who logs in with it."""

import contextlib
import secrets
from pathlib import Path

import anyio
import httpx2
import pytest

from cryptomarket.persons.authenticator import Authenticator
from cryptomarket.persons.session_cookies import COOKIE
from tests.processes import eventually
from tests.reader import Reader, reading

from .site import ADA, Browser, PersonSite, connection_event, running_persons

PERSON_ROUTES = ("/api/v1/persons/me", "/api/v1/persons/me/account", "/api/v1/persons/me/sessions")


async def personal_events(reader: Reader) -> list[str]:
    """The personal events that a stream received until now, with what arrives within a second."""
    events: list[str] = []
    with anyio.move_on_after(1), contextlib.suppress(EOFError):
        while True:
            event = await reader.event()
            if event.event == "connection" and '"kind":"upstream"' not in event.data:
                events.append(event.data)
    return events


async def what_the_planter_learns(site: PersonSite) -> list[object]:
    """Plant a cookie of the site in the browser of a person who then logs in; return what it opens for the planter."""
    planter, victim = await site.browser(), await site.browser()
    planted = planter.client.cookies[COOKIE]
    victim.client.cookies.clear()
    victim.client.cookies.set(COOKIE, planted, domain="127.0.0.1")
    async with reading(f"{site.url}/sse/?timer=3600", cookie=f"{COOKIE}={planted}") as spy, victim.stream() as tab:
        await victim.log_in(ADA)
        with contextlib.suppress(TimeoutError):  # without the defence the result goes to the planted session
            await connection_event(tab, "person", seconds=5)
        heard = await personal_events(spy)
        answers = [await planter.client.get(path) for path in PERSON_ROUTES]
    return [*heard, *(answer.text for answer in answers if answer.status_code != 401)]


async def test_a_planted_cookie_is_not_logged_in(tmp_path: Path) -> None:
    """The planter hears no event, and can read neither the person nor the balances."""
    async with running_persons(tmp_path) as site:
        assert await what_the_planter_learns(site) == []


async def test_without_a_new_session_the_planter_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack above works when a log-in keeps the browser's session, so that test can fail."""

    async def stay(*_: object) -> None:
        """Leave the session as it is."""

    monkeypatch.setattr(Authenticator, "new_session", Authenticator.browser_session)
    monkeypatch.setattr(Authenticator, "leave_session", stay)
    async with running_persons(tmp_path) as site:
        learnt = await what_the_planter_learns(site)
        assert sum("ada@example.com" in str(one) for one in learnt) == 2  # the event, with a token, and /me
        assert len(learnt) == 4


@pytest.mark.parametrize("letters", [43, 107])
async def test_a_cookie_that_is_not_ours_is_replaced(tmp_path: Path, letters: int) -> None:
    """A value of one's own making counts as no cookie, on pages and streams."""
    async with running_persons(tmp_path) as site, httpx2.AsyncClient(base_url=site.url) as client:
        made = {"cookie": f"{COOKIE}={secrets.token_hex(60)[:letters]}"}
        for path in ("/", "/status"):
            assert f"{COOKIE}=" in (await client.get(path, headers=made)).headers["set-cookie"]
        async with client.stream("GET", "/sse/", headers=made) as stream:
            assert f"{COOKIE}=" in stream.headers["set-cookie"]
        browser = await site.browser()
        assert "set-cookie" not in (await browser.client.get("/")).headers


async def test_a_log_out_makes_a_new_session(tmp_path: Path) -> None:
    """The response clears what the browser cached and sets a cookie of another session."""
    async with running_persons(tmp_path) as site:
        browser = await logged_in(site)
        before = browser.client.cookies[COOKIE]
        answer = await browser.client.delete("/api/v1/persons/me")
        assert (answer.status_code, answer.headers["clear-site-data"]) == (204, '"cache"')
        assert browser.client.cookies[COOKIE] != before
        assert (await browser.me()).status_code == 401


async def logged_in(site: PersonSite, agent: str = "curl/8") -> Browser:
    """A browser with which Ada is logged in."""
    browser = await site.browser()
    assert (await browser.log_in(ADA, **{"user-agent": agent})).status_code == 202
    while (await browser.me()).status_code != 200:
        await anyio.sleep(0.01)
    return browser


async def test_a_person_sees_where_it_is_logged_in_and_ends_one(tmp_path: Path) -> None:
    """The browser that is ended hears it and is out at once; the others stay."""
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    async with running_persons(tmp_path) as site:
        home, work = await logged_in(site), await logged_in(site, firefox)
        answer = (await home.client.get("/api/v1/persons/me/sessions")).json()
        shown = [(one["browser"], one["current"]) for one in answer["sessions"]]
        assert shown == [("Firefox on Linux", False), ("curl", True)]
        there, here = answer["sessions"]
        assert abs(there["last_seen"] - there["first_seen"]) <= 1
        for secret in (home.client.cookies[COOKIE], work.client.cookies[COOKIE]):
            assert secret[:16] not in str(answer)
        async with work.stream() as tab:
            await connection_event(tab, "person")
            ended = await home.client.delete(f"/api/v1/persons/me/sessions/{there['id']}")
            assert (ended.status_code, "set-cookie" in ended.headers) == (204, False)
            assert (await connection_event(tab, "logged_out"))["reason"] == "you ended the login of this browser"
            assert (await work.me()).status_code == 401
        assert (await home.me()).status_code == 200
        assert (await home.client.delete(f"/api/v1/persons/me/sessions/{there['id']}")).status_code == 404
        own = await home.client.delete(f"/api/v1/persons/me/sessions/{here['id']}")
        assert (own.status_code, "set-cookie" in own.headers, "clear-site-data" in own.headers) == (204, True, True)
        assert (await home.me()).status_code == 401
        await eventually(lambda: not site.gateway.persons.notifier.statistics().sessions, "nobody is logged in")
