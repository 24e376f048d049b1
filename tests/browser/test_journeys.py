"""What happens under a page that is open all day: the exchange goes, the machine sleeps, the house is full."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Page, expect

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.stream import endpoint
from tests.persons.site import running_persons

from .chromium import chromium
from .line import Line
from .market import moving_site
from .test_embeds import streams_become

pytestmark = pytest.mark.system

BROKEN = ("ERR_", "Failed to load")
#: A browser waits up to five seconds before it comes back, and this machine may be busy.
SOON = 60_000


async def moves(page: Page) -> None:
    """Wait until the first price is another one."""
    price = page.locator(".tile .number").first
    await expect(price).not_to_have_text(await price.inner_text(), timeout=SOON)


async def test_the_exchange_goes_and_comes_back(tmp_path: Path) -> None:
    """Connections are dropped and refused: the page says so and greys its prices, and is live again without a hand."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        page = await window.open("/?timer=0")
        state, tile = page.locator("#state"), page.locator(".tile").first
        await expect(state).to_have_text("Live", timeout=SOON)
        site.exchange.inject("refuse_connections")
        site.exchange.inject("drop")
        await expect(state).to_have_text(re.compile("exchange"), timeout=SOON)
        await expect(tile).to_have_attribute("data-fresh", "no", timeout=SOON)
        site.exchange.inject("refuse_connections", "off")
        await expect(state).to_have_text("Live", timeout=SOON)
        await expect(tile).to_have_attribute("data-fresh", "yes", timeout=SOON)
        await moves(page)


@contextlib.contextmanager
def asleep() -> Iterator[None]:
    """Every process of the browsers that this test started is stopped, as when a lid is closed."""
    browsers = [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
    assert browsers
    for one in browsers:
        os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in browsers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)


async def test_a_page_that_slept_comes_back_by_itself(tmp_path: Path) -> None:
    """The line breaks while the machine sleeps: awake again, the page follows a new stream."""
    async with moving_site(tmp_path) as site:
        line = Line(int(site.address.rpartition(":")[2]))
        async with line.open() as address, chromium(address) as window:
            window.expected = BROKEN
            page = await window.open()
            await expect(page.locator("#state")).to_have_text("Live", timeout=SOON)
            await moves(page)
            with asleep():
                line.cut()
                await streams_become(site, 0)
            await streams_become(site, 1)
            await expect(page.locator("#state")).to_have_text("Live", timeout=SOON)
            await moves(page)


async def test_a_connection_that_died_in_silence_is_replaced(tmp_path: Path) -> None:
    """Nothing comes and nothing fails: after two heartbeats the stream is opened anew; after a sleep, at once."""
    async with moving_site(tmp_path) as site:
        line = Line(int(site.address.rpartition(":")[2]))
        async with line.open() as address, chromium(address) as window:
            await window.context.clock.install()
            page = await window.open("/healthz")
            await page.evaluate(
                """async () => {
                    const { CryptoMarketStream } = await import("/static/stream.js");
                    globalThis.links = [];
                    const stream = new CryptoMarketStream({ tickers: ["btc_usd"], timer: 0, shared: false });
                    stream.addEventListener("link", () => links.push(stream.link));
                    stream.addEventListener("price", () => { globalThis.heard = (globalThis.heard ?? 0) + 1; });
                    stream.open();
                }"""
            )
            for way in ("watching", "waking"):
                await page.wait_for_function("() => globalThis.heard > 3", timeout=SOON)
                line.hush()
                if way == "watching":
                    await page.clock.run_for(46_000)
                else:
                    await page.clock.fast_forward(21_000)
                    await page.evaluate("dispatchEvent(new Event('online'))")
                assert "lost" in await page.evaluate("links")
                await page.evaluate("globalThis.heard = 0, globalThis.links = []")
            await page.wait_for_function("() => globalThis.heard > 3", timeout=SOON)


async def test_a_full_house_is_told_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream too many: that page says that it tries again, and is live as soon as there is room."""
    monkeypatch.setattr(endpoint, "RETURN_SECONDS", (2.0, 3.0))  # nobody wants to watch a test wait for a minute
    limits = {"max_streams_per_address": 1}
    async with moving_site(tmp_path, http=HandoverProtocol, limits=limits) as site, chromium(site.address) as window:
        first = await window.open()
        await expect(first.locator("#state")).to_have_text("Live", timeout=SOON)
        async with chromium(site.address) as elsewhere:
            late = await elsewhere.open()
            state = late.locator("#state")
            await expect(state).to_have_text("Connection to the server lost, reconnecting", timeout=SOON)
            await first.close()
            await streams_become(site, 0)
            await expect(state).to_have_text("Live", timeout=SOON)
            await moves(late)
