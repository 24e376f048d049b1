"""A page that stays open all day: the exchange fails, the machine sleeps, the gateway is full."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.async_api import expect

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.stream import endpoint
from tests.persons.site import running_persons

from .chromium import chromium
from .live_site import live_site
from .recording_proxy import RecordingProxy
from .test_embeds import wait_for_change, wait_for_streams

pytestmark = pytest.mark.system

CONNECTION_ERRORS = ("ERR_", "Failed to load")
#: A browser waits up to five seconds before it reconnects, and the machine may be busy.
RECONNECT_MS = 60_000


async def test_the_exchange_fails_and_recovers(tmp_path: Path) -> None:
    """While the exchange refuses connections the page shows it and its prices are stale; then it is live by itself."""
    async with running_persons(tmp_path) as site, chromium(site.url) as window:
        page = await window.open("/?timer=0")
        state, tile = page.locator("#state"), page.locator(".tile").first
        await expect(state).to_have_text("Live", timeout=RECONNECT_MS)
        site.exchange.inject("refuse_connections")
        site.exchange.inject("drop")
        await expect(state).to_have_text(re.compile("exchange"), timeout=RECONNECT_MS)
        await expect(tile).to_have_attribute("data-fresh", "no", timeout=RECONNECT_MS)
        site.exchange.inject("refuse_connections", "off")
        await expect(state).to_have_text("Live", timeout=RECONNECT_MS)
        await expect(tile).to_have_attribute("data-fresh", "yes", timeout=RECONNECT_MS)
        await wait_for_change(page, RECONNECT_MS)


@contextlib.contextmanager
def browsers_stopped() -> Iterator[None]:
    """Stop every browser process that this test started, as a closed lid does, until the block ends."""
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


async def test_a_page_reconnects_after_the_machine_slept(tmp_path: Path) -> None:
    """The connection breaks while the machine sleeps; awake again, the page opens a new stream."""
    async with live_site(tmp_path) as site:
        proxy = RecordingProxy(int(site.address.rpartition(":")[2]))
        async with proxy.listen() as address, chromium(address) as window:
            window.expected_errors = CONNECTION_ERRORS
            page = await window.open()
            await expect(page.locator("#state")).to_have_text("Live", timeout=RECONNECT_MS)
            await wait_for_change(page, RECONNECT_MS)
            with browsers_stopped():
                proxy.disconnect()
                await wait_for_streams(site, 0)
            await wait_for_streams(site, 1)
            await expect(page.locator("#state")).to_have_text("Live", timeout=RECONNECT_MS)
            await wait_for_change(page, RECONNECT_MS)


async def test_a_silent_connection_is_replaced(tmp_path: Path) -> None:
    """A connection without data or error is replaced after two missed heartbeats, and at once after a sleep."""
    async with live_site(tmp_path) as site:
        proxy = RecordingProxy(int(site.address.rpartition(":")[2]))
        async with proxy.listen() as address, chromium(address) as window:
            await window.context.clock.install()
            page = await window.open("/healthz")
            await page.evaluate(
                """async () => {
                    const { CryptoMarketStream } = await import("/static/stream.js");
                    globalThis.links = [];
                    const stream = new CryptoMarketStream({ tickers: ["btc_usd"], timer: 0, shared: false });
                    stream.addEventListener("link", () => links.push(stream.link));
                    stream.addEventListener("price", () => { globalThis.prices = (globalThis.prices ?? 0) + 1; });
                    stream.open();
                }"""
            )
            for way in ("watching", "waking"):
                await page.wait_for_function("() => globalThis.prices > 3", timeout=RECONNECT_MS)
                proxy.silence()
                if way == "watching":
                    await page.clock.run_for(46_000)
                else:
                    await page.clock.fast_forward(21_000)
                    await page.evaluate("dispatchEvent(new Event('online'))")
                assert "lost" in await page.evaluate("links")
                await page.evaluate("globalThis.prices = 0, globalThis.links = []")
            await page.wait_for_function("() => globalThis.prices > 3", timeout=RECONNECT_MS)


async def test_a_page_waits_for_a_full_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page beyond the limit of streams shows that it reconnects, and is live once there is room."""
    monkeypatch.setattr(endpoint, "RETURN_SECONDS", (2.0, 3.0))  # instead of up to a minute
    limits = {"max_streams_per_address": 1}
    async with live_site(tmp_path, http=HandoverProtocol, limits=limits) as site, chromium(site.address) as window:
        first = await window.open()
        await expect(first.locator("#state")).to_have_text("Live", timeout=RECONNECT_MS)
        async with chromium(site.address) as elsewhere:
            late = await elsewhere.open()
            state = late.locator("#state")
            await expect(state).to_have_text("Connection to the server lost, reconnecting", timeout=RECONNECT_MS)
            await first.close()
            await wait_for_streams(site, 0)
            await expect(state).to_have_text("Live", timeout=RECONNECT_MS)
            await wait_for_change(late, RECONNECT_MS)
