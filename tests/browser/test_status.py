import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from cryptomarket.model import UpstreamState
from cryptomarket.web.health import Check
from tests.web.site import NOON

from .chromium import chromium
from .market import moving_site

pytestmark = pytest.mark.system


async def test_the_state_of_a_node_looks_like_itself_everywhere(tmp_path: Path) -> None:
    """Health, tickers and streams fit every width in both themes; pictures are kept to look at."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        site.checks = {
            "process": Check(True, "serving"),
            "database": Check(False, "the database does not answer", needed=False),
            "upstream": Check(True, "live"),
        }
        page = await window.open("/status")
        await expect(page.locator("#rate canvas").first).to_be_visible()
        await expect(page.locator("#tickers")).to_contain_text("missing, gaps")
        await page.wait_for_timeout(7_000)  # so that the plots in the pictures have something to show
        await window.pictures(page, "status")


async def test_the_state_of_a_node_is_live(tmp_path: Path) -> None:
    """Streams are counted by timer, what is not well is said, and the lamp follows the stream."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        site.checks = {"database": Check(False, "the database does not answer", needed=False)}
        await window.open("/?timer=5")
        page = await window.open("/status")
        await expect(page.locator("#health-text")).to_have_text("degraded: it serves, but a dependency fails")
        await expect(page.locator("#checks")).to_contain_text("! Database")
        await expect(page.locator("#counts")).to_contain_text(re.compile("2\\s*open|open\\s*2"))
        await page.get_by_text("Streams by timer").click()
        await expect(page.locator("#timers")).to_contain_text("5 s")
        await expect(page.locator("#timers")).to_contain_text("1 s")
        await expect(page.locator("#component-recorder")).to_contain_text("rows written")
        await page.get_by_text("Charts as a table").click()
        await expect(page.locator("#charts-table tbody tr").nth(1)).to_contain_text(re.compile(r"\d ms"))
        site.market.cancel()
        site.upstream(UpstreamState.DOWN)
        await expect(page.locator("#state")).to_have_text("The exchange cannot be reached")


async def test_moments_are_told_as_times(tmp_path: Path) -> None:
    """A day and a moment are written as such, not as counts of seconds; what is empty is left out."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        site.counters["maintenance"] = lambda: {"upkeep": {"day": 1_763_596_800, "finished": NOON, "failure": None}}
        page = await window.open("/status")
        row = page.locator("#component-maintenance tr")
        await expect(row).to_contain_text("for 20 Nov 2025, done 20 Nov 2025, 12:00")
        await expect(row).not_to_contain_text("failed")


async def test_a_broken_node_says_so_on_its_page(tmp_path: Path) -> None:
    """When the status is not answered the page says that it is old, and goes on when it is answered again."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        window.expected = ("status of 503",)
        page = await window.open("/status")
        await expect(page.locator("#health-text")).to_have_text("ready")

        async def refuse(route: Any) -> None:
            await route.fulfill(status=503, body="{}")

        await page.route("**/api/v1/status*", refuse)
        await expect(page.locator("#problem")).to_be_visible()
        await page.unroute("**/api/v1/status*", refuse)
        await expect(page.locator("#problem")).to_be_hidden()
