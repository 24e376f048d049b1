import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.web.site import Site, running_server

from .chromium import chromium
from .market import moving_site

pytestmark = pytest.mark.system


@contextlib.asynccontextmanager
async def page_elsewhere(gateway: list[str]) -> AsyncIterator[str]:
    """A page on another origin, as its owner would write it; the gateway's address comes later."""

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(f"""<!doctype html><html lang="en"><title>elsewhere</title><link rel="icon" href="data:,">
            <script type="module" src="{gateway[0]}/static/cryptomarket.js"></script>
            <p>Bitcoin <crypto-price ticker="btc_usd" timer="0"></crypto-price></p>
            <p>Ether <crypto-price ticker="eth_usd" timer="0"></crypto-price></p>
            <crypto-chart ticker="btc_usd" timer="0" hours="2"></crypto-chart>""")

    async with running_server(Starlette(routes=[Route("/", page)])) as address:
        yield address


async def streams_become(site: Site, count: int) -> None:
    """Wait until the gateway has so many streams."""
    with anyio.fail_after(60):
        while len(site.manager) != count:
            await anyio.sleep(0.05)


async def test_the_elements_work_on_another_allowed_origin(tmp_path: Path) -> None:
    """Prices move and the chart is drawn on a page of another site, all over one stream."""
    gateway: list[str] = []
    async with page_elsewhere(gateway) as elsewhere, moving_site(tmp_path, origins=[elsewhere]) as site:
        gateway.append(site.address)
        async with chromium(elsewhere) as window:
            window.friends = (site.address,)
            page = await window.open()
            for element in await page.locator("crypto-price").all():
                before = await element.locator(".number").inner_text()
                await expect(element.locator(".number")).not_to_have_text(before)
            await expect(page.locator("crypto-chart .line").first).to_be_visible()
            await streams_become(site, 1)
            await page.evaluate("document.querySelectorAll('crypto-price, crypto-chart').forEach(one => one.remove())")
            await streams_become(site, 0)


async def test_a_site_that_is_not_allowed_gets_nothing(tmp_path: Path) -> None:
    """The browser itself keeps another site's page from the scripts and the prices."""
    gateway: list[str] = []
    async with page_elsewhere(gateway) as elsewhere, moving_site(tmp_path) as site:
        gateway.append(site.address)
        async with chromium(elsewhere) as window:
            window.friends, window.expected = (site.address,), ("CORS", "ERR_FAILED")
            page = await window.open()
            failed = await page.evaluate(
                "address => fetch(address).then(() => 'read', () => 'refused')", f"{site.address}/api/v1/tickers"
            )
            assert failed == "refused"
            assert await page.locator("crypto-price").first.inner_text() == ""
            assert len(site.manager) == 0


async def test_twenty_tabs_share_one_stream(tmp_path: Path) -> None:
    """More tabs than a browser opens connections to a host: each moves, and the gateway sees one stream."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        first = await window.open("/?timer=1")
        await expect(first.locator("#state")).to_have_text("Live")
        tabs = [await window.open("/?timer=1") for _ in range(19)]
        for tab in tabs:
            await expect(tab.locator("#state")).to_have_text("Live")
            await expect(tab.locator(".tile .move").first).not_to_be_empty()
        assert len(site.manager) == 1
        await first.close()
        for tab in tabs[1:]:
            await tab.close()
        await moves(tabs[0])
        assert len(site.manager) == 1
        await tabs[0].close()
        await streams_become(site, 0)


async def moves(tab: Page) -> None:
    """Wait until the first price of the tab is another one."""
    price = tab.locator(".tile .number").first
    await expect(price).not_to_have_text(await price.inner_text())


async def test_a_tab_that_asks_for_more_does_not_disturb_the_others(tmp_path: Path) -> None:
    """Another ticker or timer in one tab: the stream follows the union, and each tab gets what it asked for."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        one = await window.open("/?timer=1")
        other = await window.open("/?timer=1")
        await other.goto(f"{site.address}/?timer=1&tickers=sol_usd")
        site.tick("sol_usd", "140.5")
        await expect(other.locator("[data-ticker=sol_usd] .number")).to_have_text("140.50")
        await expect(one.locator("[data-ticker=sol_usd]")).to_have_count(0)
        await moves(one)
        await streams_become(site, 1)
        await other.get_by_label("Every tick").check()
        await streams_become(site, 2)
        await moves(one)
        await moves(other)


async def test_a_page_left_for_another_closes_its_stream_and_opens_it_on_return(tmp_path: Path) -> None:
    """Back and forth through the browser's cache of pages: one stream, none, one."""
    async with moving_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await streams_become(site, 1)
        await page.goto(f"{site.address}/history")
        await streams_become(site, 0)
        await page.go_back()
        await streams_become(site, 1)
        await moves(page)
