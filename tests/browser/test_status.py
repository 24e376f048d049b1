import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from cryptomarket.model import UpstreamState
from cryptomarket.web.health import Check
from tests.web.site import NOON

from .chromium import chromium
from .live_site import live_site

pytestmark = pytest.mark.system


async def test_the_status_of_a_node_is_live(tmp_path: Path) -> None:
    """The page shows streams by timer, a failing dependency, charts as a table, and the state of the stream."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
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


async def test_others_see_what_is_for_operators_named(tmp_path: Path) -> None:
    """Who is no operator sees health and tickers, and whom the rest is for."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/status")
        await expect(page.locator("#streams")).to_be_visible()
        await expect(page.locator("#operators")).to_be_hidden()
        await page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
        await page.reload()
        await expect(page.locator("#operators")).to_be_visible()
        await expect(page.locator("#streams")).to_be_hidden()
        await expect(page.locator("#health-text")).to_have_text("ready")


async def test_times_are_shown_as_dates(tmp_path: Path) -> None:
    """A day and a moment are dates, not counts of seconds; an empty field is left out."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        site.counters["maintenance"] = lambda: {"upkeep": {"day": 1_763_596_800, "finished": NOON, "failure": None}}
        page = await window.open("/status")
        row = page.locator("#component-maintenance tr")
        await expect(row).to_contain_text("for 20 Nov 2025, done 20 Nov 2025, 12:00")
        await expect(row).not_to_contain_text("failed")


async def test_a_node_that_stops_answering_is_shown(tmp_path: Path) -> None:
    """While the status request fails the page shows a problem, and hides it after the next answer."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("status of 503",)
        page = await window.open("/status")
        await expect(page.locator("#health-text")).to_have_text("ready")

        async def refuse(route: Any) -> None:
            await route.fulfill(status=503, body="{}")

        await page.route("**/api/v1/status*", refuse)
        await expect(page.locator("#problem")).to_be_visible()
        await page.unroute("**/api/v1/status*", refuse)
        await expect(page.locator("#problem")).to_be_hidden()
