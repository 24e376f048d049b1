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
from .live_site import live_site

pytestmark = pytest.mark.system


@contextlib.asynccontextmanager
async def page_elsewhere(gateway: list[str]) -> AsyncIterator[str]:
    """A page on another origin that embeds the elements; ``gateway`` gets the address of the gateway later."""

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(f"""<!doctype html><html lang="en"><title>elsewhere</title><link rel="icon" href="data:,">
            <script type="module" src="{gateway[0]}/static/cryptomarket.js"></script>
            <p>Bitcoin <crypto-price ticker="btc_usd" timer="0"></crypto-price></p>
            <p>Ether <crypto-price ticker="eth_usd" timer="0"></crypto-price></p>
            <crypto-chart ticker="btc_usd" timer="0" hours="2"></crypto-chart>""")

    async with running_server(Starlette(routes=[Route("/", page)])) as address:
        yield address


async def wait_for_streams(site: Site, count: int) -> None:
    """Wait until the gateway has so many streams."""
    with anyio.fail_after(60):
        while len(site.manager) != count:
            await anyio.sleep(0.05)


async def test_the_elements_work_on_another_allowed_origin(tmp_path: Path) -> None:
    """On a page of another origin prices move and the chart is drawn, over one stream."""
    gateway: list[str] = []
    async with page_elsewhere(gateway) as elsewhere, live_site(tmp_path, origins=[elsewhere]) as site:
        gateway.append(site.address)
        async with chromium(elsewhere) as window:
            window.allowed_origins = (site.address,)
            page = await window.open()
            for element in await page.locator("crypto-price").all():
                before = await element.locator(".number").inner_text()
                await expect(element.locator(".number")).not_to_have_text(before)
            await expect(page.locator("crypto-chart .line").first).to_be_visible()
            await wait_for_streams(site, 1)
            await page.evaluate("document.querySelectorAll('crypto-price, crypto-chart').forEach(one => one.remove())")
            await wait_for_streams(site, 0)


async def test_an_origin_that_is_not_allowed_reads_nothing(tmp_path: Path) -> None:
    """The browser loads neither scripts nor prices for a page of another origin."""
    gateway: list[str] = []
    async with page_elsewhere(gateway) as elsewhere, live_site(tmp_path) as site:
        gateway.append(site.address)
        async with chromium(elsewhere) as window:
            window.allowed_origins, window.expected_errors = (site.address,), ("CORS", "ERR_FAILED")
            page = await window.open()
            failed = await page.evaluate(
                "address => fetch(address).then(() => 'read', () => 'refused')", f"{site.address}/api/v1/tickers"
            )
            assert failed == "refused"
            assert await page.locator("crypto-price").first.inner_text() == ""
            assert len(site.manager) == 0


async def test_twenty_tabs_share_one_stream(tmp_path: Path) -> None:
    """With more tabs than a browser opens connections to a host, each is live, and the gateway has one stream."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
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
        await wait_for_change(tabs[0])
        assert len(site.manager) == 1
        await tabs[0].close()
        await wait_for_streams(site, 0)


async def wait_for_demand(site: Site, ticker: str) -> None:
    """Wait until a stream wants the ticker: earlier ticks of it are ignored."""
    with anyio.fail_after(60):
        while ticker not in site.demand.tickers:
            await anyio.sleep(0.05)


async def wait_for_change(page: Page, timeout: float | None = None) -> None:
    """Wait until the first price of the page has changed."""
    price = page.locator(".tile .number").first
    await expect(price).not_to_have_text(await price.inner_text(), timeout=timeout)


async def test_tabs_with_different_tickers_and_timers_share_streams(tmp_path: Path) -> None:
    """Tabs with one timer share a stream of all their tickers; a tab with another timer has a second stream."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        one = await window.open("/?timer=1")
        other = await window.open("/?timer=1")
        await other.goto(f"{site.address}/?timer=1&tickers=sol_usd")
        await wait_for_demand(site, "sol_usd")
        site.tick("sol_usd", "140.5")
        await expect(other.locator("[data-ticker=sol_usd] .number")).to_have_text("140.50")
        await expect(one.locator("[data-ticker=sol_usd]")).to_have_count(0)
        await wait_for_change(one)
        await wait_for_streams(site, 1)
        await other.get_by_label("Every tick").check()
        await wait_for_streams(site, 2)
        await wait_for_change(one)
        await wait_for_change(other)


async def test_tabs_with_the_same_fields_share_a_stream(tmp_path: Path) -> None:
    """A tab without fields has another stream, whose prices have none."""
    follow = """async (fields) => {
        const { CryptoMarketStream } = await import("/static/cryptomarket.js");
        const stream = new CryptoMarketStream({ tickers: ["BTC-PERPETUAL"], timer: 0, fields });
        stream.addEventListener("price", ({ detail }) => { globalThis.price = detail; });
        stream.open();
    }"""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        tabs = [await window.open("/healthz") for _ in range(3)]
        for tab, fields in zip(tabs, (["quote", "stats"], ["stats", "quote"], []), strict=True):
            await tab.evaluate(follow, fields)
        await wait_for_streams(site, 2)
        await wait_for_demand(site, "BTC-PERPETUAL")
        values = "64001,64000.50,null,0.10000000000000000555,0.0", None, None, None, None
        site.tick("BTC-PERPETUAL", "64000.5", fields=values)
        for tab in tabs:
            await tab.wait_for_function("() => globalThis.price")
        first, second, third = [await tab.evaluate("globalThis.price") for tab in tabs]
        assert first == second
        assert (first["quote"]["bid_amount"], first["stats"]) == ("0.10000000000000000555", None)
        assert "quote" not in third
        await wait_for_streams(site, 2)


async def test_a_page_in_the_back_forward_cache_holds_no_stream(tmp_path: Path) -> None:
    """Leaving the page closes its stream, and going back opens it again."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await wait_for_streams(site, 1)
        await page.goto(f"{site.address}/history")
        await wait_for_streams(site, 0)
        await page.go_back()
        await wait_for_streams(site, 1)
        await wait_for_change(page)
