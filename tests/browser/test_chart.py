import re
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from playwright.async_api import Page, expect

from .chromium import chromium
from .live_site import live_site
from .test_embeds import wait_for_demand

pytestmark = pytest.mark.system


async def rows(page: Page, table: str) -> dict[str, str]:
    """The rows of a table: time to price."""
    cells: list[tuple[str, str]] = await page.evaluate(
        """table => Array.from(document.querySelectorAll(`${table} tbody tr`),
                               row => Array.from(row.cells, cell => cell.textContent))""",
        table,
    )
    return dict(cells)


async def test_the_chart_shows_its_gaps(tmp_path: Path) -> None:
    """Missing prices are counted in the description of the chart, and a gap is a row of its table."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator("#canvas")).to_have_attribute(
            "aria-label", re.compile(r"btc_usd from .* \d+ prices; 9 missing")
        )
        await page.locator("#panel-table summary").click()
        await expect(page.locator("#panel-table")).to_contain_text("missing until")


async def test_stored_and_streamed_prices_leave_no_gap(tmp_path: Path) -> None:
    """With a timer slower than the slots, the table has every slot as it is stored."""
    async with live_site(tmp_path, interval=2, hours=0.1) as site, chromium(site.address) as window:
        page = await window.open("/?timer=5")
        await page.locator("#panel-table summary").click()
        await expect(page.locator("#panel-table tbody tr").first).to_be_visible()
        opened = time.time()
        with anyio.fail_after(40):
            while True:
                answer = await site.get("/api/v1/prices", ticker="btc_usd", start=int(opened), limit=10_000)
                recorded: list[dict[str, Any]] = answer.json()["data"]
                shown = set((await rows(page, "#panel-table")).values())
                settled = [f"{price['price']:,.2f}" for price in recorded[:5]]
                if len(settled) == 5 and shown.issuperset(settled):
                    break
                await anyio.sleep(0.5)


async def test_a_longer_time_span_reads_older_prices(tmp_path: Path) -> None:
    """Seven days read older pages until there are none; the description of the chart counts all prices."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        canvas = page.locator("#canvas")
        await expect(canvas).to_have_attribute("aria-label", re.compile(r"1,?49\d prices|150\d prices"))
        await page.get_by_label("7 d").check()
        await expect(canvas).to_have_attribute("aria-label", re.compile(r"149\d prices"))
        await page.get_by_role("radio", name="eth_usd").check()
        await expect(canvas).to_have_attribute("aria-label", re.compile("eth_usd from"))


async def test_a_ticker_of_the_catalogue_can_be_added_and_removed(tmp_path: Path) -> None:
    """An unknown name is answered with similar ones; a known one gets a tile, kept on reload until removed."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        name = page.get_by_label("Add a ticker")
        await name.fill("perp")
        await name.press("Enter")
        await expect(page.locator("#picker-status")).to_have_text("Unknown ticker perp; did you mean BTC-PERPETUAL?")
        await name.fill("btc-perpetual")
        await page.get_by_role("button", name="Add").click()
        await expect(page.locator("#picker-status")).to_have_text("BTC-PERPETUAL added")
        tile = page.locator("[data-ticker=BTC-PERPETUAL]")
        await wait_for_demand(site, "BTC-PERPETUAL")
        site.tick("BTC-PERPETUAL", "65001.5")
        await expect(tile.locator(".number")).to_have_text("65,001.50")
        await page.reload()
        await expect(tile.locator(".number")).to_have_text("65,001.50")
        await window.screenshot(page, "board-three")
        await tile.get_by_role("button", name="Remove BTC-PERPETUAL").click()
        await expect(tile).to_have_count(0)
        assert "BTC-PERPETUAL" not in page.url


async def test_the_board_works_without_the_chart_library(tmp_path: Path) -> None:
    """In a package built without npm there is no large chart; prices and sparklines work."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("404",)
        await window.context.route("**/vendor/*", lambda route: route.fulfill(status=404))
        page = await window.open()
        await expect(page.locator("#state")).to_have_text("Live")
        await expect(page.locator(".tile .line").first).to_be_visible()
        await expect(page.locator("#panel")).to_be_hidden()


async def test_candles_follow_the_stream(tmp_path: Path) -> None:
    """The newest candle changes with the stream; another kind of chart keeps the ticker."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await page.get_by_role("radio", name="eth_usd").check()
        await page.get_by_role("radio", name="5 min").check()
        await page.get_by_role("radio", name="24 h").check()
        await expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile(r"eth_usd .* \d{3} prices"))
        await window.screenshot(page, "board-candles")
        await page.locator("#panel-table summary").click()
        newest = page.locator("#panel-table tbody tr").first
        before = await newest.inner_text()
        await page.get_by_role("radio", name="Line").check()
        await page.get_by_role("radio", name="5 min").check()
        await expect(newest).not_to_have_text(before)
