from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from .chromium import chromium
from .live_site import live_site

pytestmark = pytest.mark.system

#: The largest transfer of a page with all its files, without the requests to the API.
MAX_BYTES = 250_000
#: The latest first contentful paint on a quiet machine, and as a multiple of that of a page of one word, which takes
#: longer on a busy machine as well.
MAX_PAINT_MS, MAX_PAINT_RATIO = 300, 5
#: The best of so many visits counts, as other tests run on the same machine.
VISITS = 3

WEIGHT = """
    () => performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
        .filter(entry => !entry.name.includes('/api/')).reduce((sum, entry) => sum + entry.transferSize, 0)
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def visit(page: Page, address: str, ready: str) -> None:
    """Open the page and wait for its main content."""
    await page.goto(address)
    await expect(page.locator(ready).first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "ready"), [("/", "#canvas canvas"), ("/history", "#rows tr"), ("/status", "#rate canvas")]
)
async def test_a_page_is_small_and_painted_fast(tmp_path: Path, path: str, ready: str) -> None:
    """A first visit transfers less than 250 kB, charts included; it is painted within 300 ms on a quiet machine."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await visit(page, site.address + path, ready)
        weight = await page.evaluate(WEIGHT)
        paints, plain_paints = [], []
        for _ in range(VISITS):
            await visit(page, site.address + "/healthz", "pre")
            plain_paints.append(await page.evaluate(PAINT))
            await visit(page, site.address + path, ready)
            paints.append(await page.evaluate(PAINT))
    paint, plain = min(paints), min(plain_paints)
    print(f"{path}: {weight} bytes, painted after {paint:.0f} ms, a page of one word after {plain:.0f} ms")
    assert 10_000 < weight < MAX_BYTES
    assert paint < max(MAX_PAINT_MS, MAX_PAINT_RATIO * plain)
