from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from cryptomarket.model import UpstreamState
from cryptomarket.web.health import Check
from tests.frontend import npm_tools

from .chromium import THEMES, chromium
from .live_site import live_site

pytestmark = pytest.mark.system

#: The rules of WCAG 2.2 levels A and AA, and the best practices of axe.
AXE = """
    async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}))
        .violations.map(rule => `${rule.impact} ${rule.id}: ` + rule.nodes.map(node => node.html).join(' | '))
"""


async def violations(page: Page) -> list[str]:
    """The rules that the page violates, as axe-core reports them."""
    await page.evaluate((npm_tools() / "node_modules/axe-core/axe.min.js").read_text())
    found: list[str] = await page.evaluate(AXE)
    return found


async def check_both_themes(page: Page) -> None:
    """Assert that axe finds nothing, in light and in dark."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        assert await violations(page) == [], theme


async def test_axe_finds_nothing_on_the_board(tmp_path: Path) -> None:
    """No violation with all tables open, while prices are live and while they are stale."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator("#canvas canvas").first).to_be_visible()
        for summary in await page.locator("summary").all():
            await summary.click()
        await check_both_themes(page)
        site.market.cancel()
        site.upstream(UpstreamState.DOWN)
        await expect(page.locator("#state")).to_have_attribute("data-state", "down")
        await check_both_themes(page)


async def test_axe_finds_nothing_on_the_history_page(tmp_path: Path) -> None:
    """No violation in English and in Russian."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history")
        for language in ("en", "ru"):
            await page.goto(f"{site.address}/history?lang={language}")
            await expect(page.locator("#rows tr").first).to_be_visible()
            await page.locator("#gaps summary").click()
            await check_both_themes(page)


async def test_axe_finds_nothing_on_the_status_page(tmp_path: Path) -> None:
    """No violation with all tables open and a failing dependency."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        site.checks = {"database": Check(False, "the database does not answer", needed=False)}
        page = await window.open("/status")
        await expect(page.locator("#rate canvas").first).to_be_visible()
        for summary in await page.locator("summary").all():
            await summary.click()
        await check_both_themes(page)
