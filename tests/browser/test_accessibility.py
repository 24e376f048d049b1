from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from cryptomarket.model import UpstreamState
from cryptomarket.web.health import Check
from tests.frontend import npm_tools

from .chromium import THEMES, Window, chromium
from .market import moving_site

pytestmark = pytest.mark.system

#: Rules of WCAG 2.2 A and AA, and what axe knows as good practice.
AXE = """
    async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}))
        .violations.map(rule => `${rule.impact} ${rule.id}: ` + rule.nodes.map(node => node.html).join(' | '))
"""


async def offences(window: Window, page: Any) -> list[str]:
    """What axe-core finds on the page as it stands."""
    await page.evaluate((npm_tools() / "node_modules/axe-core/axe.min.js").read_text())
    found: list[str] = await page.evaluate(AXE)
    return found


async def in_both_themes(window: Window, page: Any) -> None:
    """axe finds nothing, in light and in dark."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        assert await offences(window, page) == [], theme


async def test_axe_finds_nothing_on_the_board(tmp_path: Path) -> None:
    """Names, roles, contrast and order are right, with the tables open, live and stale."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator("#canvas canvas").first).to_be_visible()
        for summary in await page.locator("summary").all():
            await summary.click()
        await in_both_themes(window, page)
        site.market.cancel()
        site.upstream(UpstreamState.DOWN)
        await expect(page.locator("#state")).to_have_attribute("data-state", "down")
        await in_both_themes(window, page)


async def test_axe_finds_nothing_in_the_past(tmp_path: Path) -> None:
    """The same for the page of the past, in English and Russian."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history")
        for language in ("en", "ru"):
            await page.goto(f"{site.address}/history?lang={language}")
            await expect(page.locator("#rows tr").first).to_be_visible()
            await page.locator("#gaps summary").click()
            await in_both_themes(window, page)


async def test_axe_finds_nothing_in_the_state_of_a_node(tmp_path: Path) -> None:
    """The same for the page of the state, with its tables open."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        site.checks = {"database": Check(False, "the database does not answer", needed=False)}
        page = await window.open("/status")
        await expect(page.locator("#rate canvas").first).to_be_visible()
        for summary in await page.locator("summary").all():
            await summary.click()
        await in_both_themes(window, page)
