"""The login on a page, against a whole gateway and a simulated exchange."""

import re
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Page, expect

from cryptomarket.persons import token_renewal
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.switches import Switches
from tests.persons.crowd import Crowd, accounts
from tests.persons.login_crowd import CROWD_SETTINGS
from tests.persons.site import ADA, BOB, running_persons

from .chromium import chromium
from .test_accessibility import check_both_themes

pytestmark = pytest.mark.system


async def log_in(page: Page, account: SimulatedAccount, secret: str | None = None) -> None:
    """Open the dialog, fill it in, press Enter."""
    await page.locator("#person-open").click()
    await page.get_by_label("Client ID").fill(account.client_id)
    await page.get_by_label("Client secret").fill(secret or account.client_secret)
    await page.get_by_label("Client secret").press("Enter")


async def wait_for_person(page: Page, name: str) -> None:
    """Wait until the button in the header has that text: a name, or the offer to log in."""
    await expect(page.locator("#person-open")).to_have_text(name)


async def readable_by_scripts(page: Page) -> str:
    """All that scripts of the page can read: fields, storage, cookies, address and document."""
    text: str = await page.evaluate(
        """() => [...document.querySelectorAll('input')].map(input => input.value).join(' ')
            + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + JSON.stringify(history.state)
            + document.cookie + location.href + document.documentElement.outerHTML"""
    )
    return text


async def test_a_person_logs_in_sees_the_account_and_logs_out(tmp_path: Path) -> None:
    """After a login the page shows name, e-mail and balances but keeps no secret; a logout ends it."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        page = await window.open()
        await wait_for_person(page, "Log in")
        await log_in(page, ADA)
        assert await page.get_by_label("Client secret").input_value() == ""
        await wait_for_person(page, "ada")
        card = page.locator("#person")
        await expect(card).to_contain_text("ada@example.com")
        await expect(card.locator("#accounts")).to_contain_text(re.compile(r"BTC\s*10"))
        text = await readable_by_scripts(page)
        assert ADA.client_secret not in text
        assert "gAAAA" not in text  # the start of every Fernet token
        assert all(cookie.get("httpOnly") for cookie in await window.context.cookies() if "session" in cookie["name"])
        await page.reload()
        await wait_for_person(page, "ada")
        await page.locator("#person-open").click()
        await page.get_by_role("button", name="Log out").click()
        await wait_for_person(page, "Log in")
        await expect(page.locator("#person-status")).to_have_text("Logged out: at your request.")
        shown = await page.evaluate("document.body.textContent")
        assert "ada@example.com" not in shown
        await expect(page.locator("#accounts, #sessions")).to_have_text(["", ""])
        assert await page.evaluate("fetch('/api/v1/tickers').then(answer => answer.status)") == 200


async def test_a_wrong_secret_is_explained(tmp_path: Path) -> None:
    """The dialog says what to do and focuses the empty field; the right secret then works."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        page = await window.open()
        await log_in(page, ADA, "not-the-secret")
        answer = page.locator("#person-status")
        await expect(answer).to_contain_text("check the client id and the secret")
        await expect(page.get_by_label("Client secret")).to_be_focused()
        assert await page.get_by_label("Client secret").input_value() == ""
        window.expected_errors = ("status of 429",)  # after a failure the next attempt is refused for two seconds
        with anyio.fail_after(90):
            while await page.locator("#login").is_visible():
                await page.get_by_label("Client secret").fill(ADA.client_secret)
                await page.get_by_label("Client secret").press("Enter")
                await expect(answer).not_to_have_text("Asking the exchange…")
                await page.wait_for_timeout(500)  # else the attempts would exceed the limit of a minute
        await wait_for_person(page, "ada")


async def test_a_login_that_is_not_renewed_says_so_beside_the_balances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the dialog is opened later, until it is renewed again."""
    monkeypatch.setattr(token_renewal, "RENEW_SHARE", 0.05)
    switches = Switches(session_expires_in=80)
    async with running_persons(tmp_path, exchange={"switches": switches}) as site, chromium(site.url) as window:
        page = await window.open()
        await log_in(page, ADA)
        await wait_for_person(page, "ada")
        status = page.locator("#person-status")
        site.exchange.inject("error", "public/auth:13028")
        await expect(status).to_contain_text("does not renew this login now", timeout=25_000)
        await page.keyboard.press("Escape")
        await page.locator("#person-open").click()
        await expect(page.locator("#accounts")).to_contain_text("BTC")
        await expect(status).to_contain_text("does not renew this login now")
        site.exchange.inject("error", "public/auth:0")
        await expect(status).to_have_text("", timeout=20_000)
        await wait_for_person(page, "ada")


async def test_two_persons_in_two_browsers_never_see_each_other(tmp_path: Path) -> None:
    """Each browser has its own person; a logout in one does not end the other."""
    async with (
        running_persons(tmp_path) as site,
        chromium(site.url) as window,
        chromium(site.url) as elsewhere,
    ):
        one, other = await window.open(), await elsewhere.open("/status")
        await log_in(one, ADA)
        await wait_for_person(one, "ada")
        await expect(other.locator("#person-open")).to_have_text("Log in")
        await log_in(other, BOB)
        await wait_for_person(other, "bob")
        await expect(other.locator("#person")).to_contain_text("bob@example.com")
        assert "ada" not in await other.locator("#person").inner_text()
        await one.get_by_role("button", name="Log out").click()
        await wait_for_person(one, "Log in")
        await wait_for_person(other, "bob")


async def test_a_person_sees_its_browsers_and_ends_one(tmp_path: Path) -> None:
    """The dialog lists them; the one that is ended says so, and the other stays logged in until it ends itself."""
    async with (
        running_persons(tmp_path) as site,
        chromium(site.url) as window,
        chromium(site.url) as elsewhere,
    ):
        far = await elsewhere.open("/status")
        await log_in(far, ADA)
        await wait_for_person(far, "ada")
        near = await window.open()
        await log_in(near, ADA)
        rows = near.locator("#sessions tr")
        await expect(rows).to_have_count(2)
        await expect(rows.nth(0)).to_contain_text(re.compile(r"Chrome on Linux \(here\)"))
        assert await elsewhere.context.cookies() != await window.context.cookies()
        await rows.nth(1).get_by_role("button", name="End the login of Chrome on Linux").click()
        await expect(rows).to_have_count(1)
        await wait_for_person(far, "Log in")
        await expect(far.locator("#person-status")).to_have_text("Logged out: you ended the login of this browser.")
        await wait_for_person(near, "ada")
        before = await window.context.cookies()
        await rows.nth(0).get_by_role("button", name="End").click()
        await wait_for_person(near, "Log in")
        assert await window.context.cookies() != before
        await far.keyboard.press("Escape")
        await log_in(far, ADA)
        await wait_for_person(far, "ada")


async def test_all_tabs_of_a_browser_share_the_login(tmp_path: Path) -> None:
    """A login and a logout in one tab show in all tabs, whatever their timer."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        tabs = [await window.open("/?timer=60") for _ in range(5)] + [await window.open("/status")]
        await log_in(tabs[0], ADA)
        for tab in tabs:
            await wait_for_person(tab, "ada")
        late = await window.open("/?timer=60")
        await wait_for_person(late, "ada")
        assert len(site.gateway.manager) == 2  # one for each timer
        await tabs[-1].locator("#person-open").click()
        await tabs[-1].get_by_role("button", name="Log out").click()
        for tab in [*tabs, late]:
            await wait_for_person(tab, "Log in")


async def test_a_login_without_a_result_times_out(tmp_path: Path) -> None:
    """After 20 s without a result the dialog says so and can be used again."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        await window.context.clock.install()  # before the page reads the time
        page = await window.open("/status")
        await wait_for_person(page, "Log in")
        await page.route("**/api/v1/persons/login", lambda route: route.fulfill(status=202, json={"login": "lost"}))
        await log_in(page, ADA)
        await expect(page.locator("#person-status")).to_have_text("Asking the exchange…")
        await expect(page.get_by_label("Client ID")).to_be_disabled()
        await page.clock.fast_forward(20_500)
        await expect(page.locator("#person-status")).to_have_text("No answer within 20 seconds. Try again.")
        await expect(page.get_by_label("Client ID")).to_be_enabled()


async def test_d8_a_login_in_a_crowd_shows_its_place(tmp_path: Path) -> None:
    """While others are served first the dialog shows the place and the time, and then the person."""
    others = accounts(80)
    async with (
        running_persons(tmp_path, accounts=[*others, ADA], **CROWD_SETTINGS) as site,
        chromium(site.url) as window,
    ):
        page, crowd = await window.open(), Crowd(site.url)
        await wait_for_person(page, "Log in")
        for other in others:
            await crowd.post(None, other.client_id, other.client_secret)
        await log_in(page, ADA)
        await expect(page.locator("#person-status")).to_have_text(
            re.compile(r"Many log in now\. Your place is \d+; it takes about \d+ s\.")
        )
        await expect(page.locator("#person-open")).to_have_text("ada", timeout=30_000)
        await expect(page.locator("#person-status")).not_to_contain_text("place")


async def test_a_refused_login_is_explained(tmp_path: Path) -> None:
    """The dialog shows why the server refuses an attempt, such as too many of them."""
    async with running_persons(tmp_path, logins_per_minute=1) as site, chromium(site.url) as window:
        window.expected_errors = ("status of 429",)
        page = await window.open()
        await log_in(page, ADA, "not-the-secret")
        answer = page.locator("#person-status")
        await expect(answer).to_contain_text("check the client id")
        await page.get_by_label("Client secret").fill("not-this-either")
        await page.get_by_label("Client secret").press("Enter")
        await expect(answer).to_contain_text("Not logged in:")
        await expect(answer).not_to_contain_text("check the client id")
        await expect(answer).not_to_contain_text("Asking")


async def test_the_dialog_is_accessible(tmp_path: Path) -> None:
    """axe finds nothing in it, in both themes; Escape closes it and restores the focus; it fits every width."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        page = await window.open()
        await expect(page.locator("#person-open")).to_be_visible()
        await page.locator("#person-open").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Client ID")).to_be_focused()
        await check_both_themes(page)
        await window.check_widths(page, "login")
        await page.keyboard.press("Escape")
        await expect(page.locator("#person")).to_be_hidden()
        await expect(page.locator("#person-open")).to_be_focused()
        await log_in(page, ADA)
        await expect(page.locator("#accounts")).to_contain_text("BTC")
        await check_both_themes(page)
        await window.check_widths(page, "person")


async def test_the_dialog_is_translated_to_russian(tmp_path: Path) -> None:
    """The reason of a failure is shown in the language of the page."""
    async with running_persons(tmp_path) as site, chromium(site.url, locale="ru-RU") as window:
        page = await window.open()
        await wait_for_person(page, "Войти")
        await log_in(page, ADA, "not-the-secret")
        await expect(page.locator("#person-status")).to_contain_text("биржа не принимает этот ключ")
