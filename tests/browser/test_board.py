import contextlib
import re
from pathlib import Path

import anyio
import pytest
from playwright.async_api import Page, Route, expect

from cryptomarket.model import Gap, UpstreamState

from .chromium import chromium
from .live_site import live_site


async def test_both_prices_move(tmp_path: Path) -> None:
    """Each tile shows a price, then another one, and names its direction for screen readers."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        for ticker in ("btc_usd", "eth_usd"):
            price = page.locator(f"[data-ticker={ticker}] .number")
            await expect(price).to_contain_text(re.compile(r"^[\d,]+\.\d\d$"))
            before = await price.inner_text()
            await expect(price).not_to_have_text(before)
            move = page.locator(f"[data-ticker={ticker}] .move")
            await expect(move).to_have_attribute("aria-label", re.compile("^(up|down|unchanged)"))
        await expect(page).to_have_title(re.compile(r"[\d,]+\.\d\d BTC/USD · cryptomarket"))


async def test_prices_are_shown_where_the_site_may_store_nothing(tmp_path: Path) -> None:
    """Browsers then refuse to open a channel between tabs; the stream does not depend on it."""
    refuse = "globalThis.BroadcastChannel = class { constructor() { throw new DOMException('', 'SecurityError'); } };"
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        await window.context.add_init_script(f"{refuse} delete globalThis.SharedWorker;")
        page = await window.open()
        await expect(page.locator("[data-ticker=eth_usd] .number")).to_contain_text(re.compile(r"^[\d,]+\.\d\d$"))


@pytest.mark.system
async def test_the_timer_changes_how_often_prices_are_shown(tmp_path: Path) -> None:
    """Every tick shows many prices a second, 1 s at most one; the choice is in the address and survives a reload."""
    async with live_site(tmp_path, seconds=0.05) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator(".tile .move").first).not_to_be_empty()
        slow = await seconds_for_changes(page, 3)
        await page.get_by_label("Every tick").check()
        await expect(page.locator("#timer-hint")).to_have_text("each price as it arrives")
        fast = await seconds_for_changes(page, 10)
        await page.reload()
        await expect(page.get_by_label("Every tick")).to_be_checked()
        assert page.url.endswith("?timer=0")
    assert slow > 1  # a busy machine makes both slower
    assert fast < 8


async def seconds_for_changes(page: Page, count: int) -> float:
    """How long the first price takes for so many changes."""
    seconds: float = await page.evaluate(
        """count => new Promise(resolve => {
            const start = performance.now();
            const observer = new MutationObserver(() => --count || resolve((performance.now() - start) / 1000));
            observer.observe(document.querySelector('.fraction'), {childList: true});
        })""",
        count,
    )
    return seconds


@pytest.mark.system
async def test_a_ticker_that_is_not_delivered_says_why(tmp_path: Path) -> None:
    """An ended instrument, and one for which there is no room until a price of it comes; also in a second tab."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("status of 404",)  # an unknown ticker has no history
        site.demand._most = 0
        page = await window.open("/?tickers=BTC-26JUN20,sol_usd")
        for shown in (page, await window.open("/?tickers=BTC-26JUN20,sol_usd")):
            for ticker, reason in (("BTC-26JUN20", "refused by the exchange"), ("sol_usd", "no room at present")):
                await expect(shown.locator(f"[data-ticker={ticker}] .age-text")).to_have_text(reason)
            await expect(shown.locator("[data-ticker=btc_usd] .whole")).not_to_have_text("—")
        site.demand._most = 1
        await expect(page.locator("[data-ticker=sol_usd] .age-text")).to_have_text("no room at present")
        site.tick("sol_usd", "150.25")
        with anyio.fail_after(10):
            while not site.demand.tickers:
                await anyio.sleep(0.05)
        site.tick("sol_usd", "150.25")
        await expect(page.locator("[data-ticker=sol_usd] .whole")).to_have_text("150")
        site.bus.publish(Gap("sol_usd"))
        await expect(page.locator("[data-ticker=sol_usd] .age-text")).to_have_text("refused by the exchange")
        await anyio.sleep(1.1)  # twice the period of a refresh
        await expect(page.locator("[data-ticker=sol_usd] .age-text")).to_have_text("refused by the exchange")


@pytest.mark.system
async def test_the_state_is_shown_and_stale_prices_are_marked(tmp_path: Path) -> None:
    """Live, stale, down, live again: the header shows the state, and each tile the age of a stale price."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        state, tile = page.locator("#state"), page.locator("[data-ticker=btc_usd]")
        await expect(state).to_have_text("Live")
        await expect(tile).to_have_attribute("data-fresh", "yes")
        site.market.cancel()
        await expect(state).to_have_text("No data from the exchange, prices are stale")
        await expect(tile).to_have_attribute("data-fresh", "no")
        await expect(tile.locator(".age")).to_have_text(re.compile(r"^stale, \d+ s ago$"))
        await expect(page.locator("#announcer")).to_have_text("No data from the exchange, prices are stale")
        await window.screenshot(page, "board-stale")
        site.upstream(UpstreamState.DOWN)
        await expect(state).to_have_text("The exchange cannot be reached")
        await window.screenshot(page, "board-down")
        site.upstream(UpstreamState.LIVE)
        site.tick("btc_usd", "65000.5")
        site.tick("eth_usd", "3000.5")
        await expect(state).to_have_text("Live")
        await expect(tile).to_have_attribute("data-fresh", "yes")
        await expect(tile.locator(".number")).to_have_text("65,000.50")


@pytest.mark.system
async def test_the_page_reconnects_when_the_gateway_restarts(tmp_path: Path) -> None:
    """While the gateway is down the page shows it; when the same address answers again, the page is live by itself."""
    (tmp_path / "again").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(live_site(tmp_path))
        port = int(gateway.address.rpartition(":")[2])
        async with chromium(gateway.address) as window:
            window.expected_errors = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE")
            page = await window.open()
            await expect(page.locator("#state")).to_have_text("Live")
            await stack.aclose()
            await expect(page.locator("#state")).to_have_text("Connection to the server lost, reconnecting")
            await expect(page.locator(".tile").first).to_have_attribute("data-fresh", "no")
            async with live_site(tmp_path / "again", port=port):
                await expect(page.locator("#state")).to_have_text("Live")
                await expect(page.locator(".tile").first).to_have_attribute("data-fresh", "yes")


@pytest.mark.system
async def test_a_refused_stream_is_reopened(tmp_path: Path) -> None:
    """A status of 502 closes an EventSource for good; the page opens a new one."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        window.expected_errors = ("status of 502",)
        # Playwright cannot intercept the requests of a worker.
        await window.context.add_init_script("delete globalThis.SharedWorker")
        refused = 0

        async def refuse(route: Route) -> None:
            nonlocal refused
            refused += 1
            await (route.fulfill(status=502) if refused <= 2 else route.continue_())

        await window.context.route("**/sse/**", refuse)
        page = await window.open()
        await expect(page.locator("#state")).to_have_text("Live")
        assert refused == 3


@pytest.mark.system
async def test_the_board_can_be_used_with_the_keyboard(tmp_path: Path) -> None:
    """The skip link is first, arrows choose the timer, Enter opens a table; a theme set by Enter is remembered."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open()
        await expect(page.locator(".line").first).to_be_visible()
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to content")).to_be_focused()
        await page.get_by_label("1 s", exact=True).focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_label("5 s", exact=True)).to_be_checked()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("tbody tr").first).to_be_visible()
        await page.locator("#theme").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.system
async def test_the_page_is_translated_to_russian(tmp_path: Path) -> None:
    """A Russian browser gets Russian texts and numbers; a language chosen in the footer is remembered."""
    async with live_site(tmp_path) as site, chromium(site.address, locale="ru-RU") as window:
        page = await window.open()
        await expect(page.locator("#state")).to_have_text("На связи")
        await expect(page.locator("[data-ticker=btc_usd] .number")).to_have_text(re.compile(r"^\d+\s\d{3},\d\d$"))
        await window.screenshot(page, "board-russian")
        await page.get_by_role("link", name="English").click()
        await expect(page.locator("#state")).to_have_text("Live")
        await page.goto(site.address)
        await expect(page.locator("#state")).to_have_text("Live")


@pytest.mark.system
async def test_the_api_page_works_without_the_internet(tmp_path: Path) -> None:
    """Swagger UI is served by the gateway, obeys the content policy, and can send a request."""
    async with live_site(tmp_path) as site, chromium(site.address) as window:
        page = await window.open("/docs")
        await page.locator("#operations-prices-prices_api_v1_prices_get").get_by_role("button").first.click()
        await page.get_by_placeholder("ticker").fill("btc_usd")
        await page.get_by_role("button", name="Execute").click()
        await expect(page.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")
        await window.screenshot(page, "docs")
