import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import expect

from .chromium import chromium
from .market import moving_site

pytestmark = pytest.mark.system


async def test_the_past_looks_like_itself_everywhere(tmp_path: Path) -> None:
    """Chart, coverage and table fit every width in both themes; pictures are kept to look at."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history")
        await expect(page.locator("#rows tr").first).to_be_visible()
        await expect(page.locator("#strip rect").first).to_be_attached()
        await window.pictures(page, "history")


async def test_a_filter_shows_what_was_stored_and_what_is_missing(tmp_path: Path) -> None:
    """A day of stored prices, its holes in words and rows; the filter is in the address, so that it can be shared."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history")
        await page.get_by_label("Ticker").fill("eth_usd")
        await page.get_by_label("Resolution").select_option("as stored")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#summary")).to_have_text(re.compile(r"^eth_usd: \d{3,4} rows, some missing$"))
        await expect(page.locator("#coverage-text")).to_have_text(re.compile(r"^[\d.]+% missing, gaps: \d+"))
        await page.get_by_text("Coverage as a table").click()
        await expect(page.locator("#gaps")).to_contain_text("missing: ")
        await expect(page.locator("#curl")).to_have_text(
            f"curl '{site.address}/api/v1/prices?ticker=eth_usd&start={yesterday}'"
        )
        shared = page.url
        await page.goto(site.address)
        await page.goto(shared)
        await expect(page.locator("#summary")).to_have_text(re.compile(r"^eth_usd: \d{3,4} rows, some missing$"))


async def test_what_is_shown_can_be_downloaded(tmp_path: Path) -> None:
    """The CSV of the link holds the same prices as the table, every digit of them."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history?resolution=")
        await expect(page.locator("#rows tr").first).to_be_visible()
        shown = [text.replace(",", "") for text in await page.locator("#rows td:nth-child(2)").all_inner_texts()]
        async with page.expect_download() as download:
            await page.get_by_role("link", name="CSV").click()
        rows = list(csv.DictReader(io.StringIO(Path(await (await download.value).path()).read_text())))
    assert {row["ticker"] for row in rows} == {"btc_usd"}
    assert set(shown[5:50]) <= {row["price"] for row in rows}


async def test_a_wrong_question_is_answered_in_words(tmp_path: Path) -> None:
    """An unknown ticker and a range that runs backwards are said where they were asked."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        window.expected = ("status of 404", "status of 422")
        page = await window.open("/history?ticker=btc_usdd")
        await expect(page.locator("#problem")).to_contain_text("did you mean btc_usd")
        await page.goto(f"{site.address}/history?ticker=btc_usd&start=2025-11-20&end=2025-11-01")
        await expect(page.locator("#problem")).to_have_text("start: expected a moment that is not after end")
