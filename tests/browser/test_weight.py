from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from .chromium import chromium
from .market import moving_site

pytestmark = pytest.mark.system

#: What a page may weigh on the wire, everything it loads included, but not the prices it then asks for.
MOST_BYTES = 250_000
#: A page is seen before the eye notices.
PAINT_MS = 300
#: The best of so many counts: other tests run on the same machine.
TRIES = 3

WEIGHT = """
    () => performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource'))
        .filter(entry => !entry.name.includes('/api/')).reduce((sum, entry) => sum + entry.transferSize, 0)
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def visit(page: Page, address: str, ready: str) -> None:
    """Open the page, and wait until what matters is there."""
    await page.goto(address)
    await expect(page.locator(ready).first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "ready"), [("/", "#canvas canvas"), ("/history", "#rows tr"), ("/status", "#rate canvas")]
)
async def test_a_page_is_light_and_seen_at_once(tmp_path: Path, path: str, ready: str) -> None:
    """On a first visit it loads less than 250 kB, compressed, charts included; it is painted within 300 ms."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/healthz")
        await visit(page, site.address + path, ready)
        weight = await page.evaluate(WEIGHT)
        paints = [await page.evaluate(PAINT)]
        for _ in range(TRIES - 1):
            await visit(page, site.address + path, ready)
            paints.append(await page.evaluate(PAINT))
    print(f"{path}: {weight} bytes, painted after {min(paints):.0f} ms")
    assert 10_000 < weight < MOST_BYTES
    assert min(paints) < PAINT_MS
