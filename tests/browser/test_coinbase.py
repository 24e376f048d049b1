"""The log-in at Coinbase on a page, in Chromium, with the simulated Coinbase and its page of consent."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.persons.coinbase import running_coinbase
from tests.persons.site import ADA

from .chromium import chromium
from .test_person import log_in, readable_by_scripts, wait_for_person

pytestmark = pytest.mark.system


async def test_a_person_walks_to_coinbase_and_back(tmp_path: Path) -> None:
    """By keyboard: the dialog offers both ways; the page tells a refusal, then the person; no code stays anywhere."""
    async with running_coinbase(tmp_path) as site, chromium(site.persons.url) as window:
        window.expected_errors = ("404",)  # Coinbase's page, simulated, has no icon
        window.allowed_origins = (site.coinbase.http_url.removesuffix("/api/v2"),)
        page, other = await window.open(), await window.open()
        await page.locator("#person-open").click()
        await expect(page.locator("#person-title")).to_have_text("Log in")
        await expect(page.get_by_label("Client ID")).to_be_visible()
        await expect(page.get_by_role("link", name="Log in with Coinbase")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Deny").click()
        await expect(page.locator("#person-status")).to_contain_text("you declined")
        await page.get_by_role("link", name="Log in with Coinbase").press("Enter")
        await page.get_by_role("button", name=re.compile("ada")).click()
        await wait_for_person(page, "ada")
        await expect(page.locator("#accounts")).to_contain_text("USDC")
        await wait_for_person(other, "ada")  # the other tab follows the new cookie
        assert "code=" not in page.url
        assert "login=" not in page.url
        text = await readable_by_scripts(page)
        oauth = site.coinbase.state.accounts.oauth
        for secret in (*oauth._codes, *oauth._access, *oauth._refresh):
            assert secret not in text
        await page.get_by_role("button", name="Log out").click()
        await wait_for_person(other, "Log in")
        await page.keyboard.press("Escape")
        await log_in(page, ADA)  # a Deribit key works beside it
        await wait_for_person(page, "ada")
