"""Pages at every width in both themes, and the picture of the README; `make screenshots` runs these tests alone."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from cryptomarket.web.health import Check

from .chromium import chromium
from .live_site import live_site

pytestmark = pytest.mark.system

#: The README is read on slow lines as well.
MAX_PICTURE_BYTES = 150_000


async def test_the_board_fits_every_width(tmp_path: Path) -> None:
    """Tiles and the large chart never scroll sideways, in light and dark."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator(".tile .line").first).to_be_visible()
        await expect(page.locator(".tile .move").nth(1)).not_to_be_empty()
        await expect(page.locator("#canvas canvas").first).to_be_visible()
        await window.check_widths(page, "board")


async def test_the_history_page_fits_every_width(tmp_path: Path) -> None:
    """Chart, coverage and table never scroll sideways, in light and dark."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history")
        await expect(page.locator("#rows tr").first).to_be_visible()
        await expect(page.locator("#strip rect").first).to_be_attached()
        await window.check_widths(page, "history")


async def test_the_status_page_fits_every_width(tmp_path: Path) -> None:
    """Health, tickers, streams and their charts never scroll sideways, in light and dark."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        site.checks = {
            "process": Check(True, "serving"),
            "database": Check(False, "the database does not answer", needed=False),
            "upstream": Check(True, "live"),
        }
        page = await window.open("/status")
        await expect(page.locator("#tickers")).to_contain_text("missing, gaps")
        summary = page.get_by_text("Charts as a table")
        await summary.click()
        await expect(page.locator("#charts-table tbody tr").nth(2)).to_be_visible()  # enough points for a line
        await summary.click()
        await window.check_widths(page, "status")


async def test_the_picture_of_the_readme(tmp_path: Path) -> None:
    """The board with candles of a day, small enough for the README."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await page.get_by_role("radio", name="5 min").check()
        await page.get_by_role("radio", name="24 h").check()
        await expect(page.locator("#canvas canvas").first).to_be_visible()
        for ticker in ("btc_usd", "eth_usd"):
            tile = page.locator(f"[data-ticker={ticker}]")
            await expect(tile.locator(".move")).to_contain_text("▲")
            await expect(tile.locator(".line").first).to_be_visible()
        picture = await window.screenshot(page, "board")
    assert picture.stat().st_size < MAX_PICTURE_BYTES
