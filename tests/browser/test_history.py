import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from .chromium import chromium
from .live_site import live_site

pytestmark = pytest.mark.system


async def test_a_filter_shows_stored_and_missing_prices(tmp_path: Path) -> None:
    """The page counts the prices and the gaps of a day; its address holds the filter, so that it can be shared."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    async with live_site(tmp_path) as site, chromium(site.address) as window:
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


async def test_the_shown_prices_can_be_downloaded(tmp_path: Path) -> None:
    """The CSV has the prices of the table, with all digits."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/history?resolution=")
        await expect(page.locator("#rows tr").first).to_be_visible()
        shown = [text.replace(",", "") for text in await page.locator("#rows td:nth-child(2)").all_inner_texts()]
        async with page.expect_download() as download:
            await page.get_by_role("link", name="CSV").click()
        rows = list(csv.DictReader(io.StringIO(Path(await (await download.value).path()).read_text())))
    assert {row["ticker"] for row in rows} == {"btc_usd"}
    assert set(shown[5:50]) <= {row["price"] for row in rows}


async def test_a_wrong_filter_shows_the_problem(tmp_path: Path) -> None:
    """An unknown ticker and a range that ends before it starts show the detail of the problem document."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("status of 404", "status of 422")
        page = await window.open("/history?ticker=btc_usdd")
        await expect(page.locator("#problem")).to_contain_text("did you mean btc_usd")
        await page.goto(f"{site.address}/history?ticker=btc_usd&start=2025-11-20&end=2025-11-01")
        await expect(page.locator("#problem")).to_have_text("start: expected a time that is not after end")


async def test_a_page_that_the_rate_limit_refuses_is_read_again(tmp_path: Path) -> None:
    """A long range takes many requests: after 429 the page waits as the answer says, and shows everything."""
    refused: list[str] = []

    async def refuse_twice(route: Route) -> None:
        if len(refused) < 2:
            refused.append(route.request.url)
            await route.fulfill(status=429, headers={"retry-after": "1"}, json={"detail": "expected fewer requests"})
        else:
            await route.continue_()

    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("status of 429",)
        await window.context.route("**/api/v1/prices?*", refuse_twice)
        page = await window.open("/history?ticker=eth_usd&resolution=")
        await expect(page.locator("#summary")).to_have_text(re.compile(r"^eth_usd: \d{3,4} rows"))
        await expect(page.locator("#problem")).to_be_hidden()
        assert len(refused) == 2
