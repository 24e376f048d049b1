"""A gateway whose tickers are those that streams want, and slots that get a price although no tick came."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from playwright.async_api import expect

from cryptomarket.app.gateway import Gateway
from cryptomarket.history import ledger, prices
from cryptomarket.history.pages import PageQuery
from cryptomarket.model import Price, Source
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.app.test_tickers import running_gateway
from tests.browser.chromium import chromium
from tests.processes import run_program
from tests.reader import reading
from tests.web.site import running_server

PAGES = ("/", "/history", "/status", "/docs", "/readyz", "/api/v1/tickers", "/api/v1/status")


def subscribed(exchange: Exchange) -> set[str]:
    """The channels of prices that are subscribed now."""
    channels = {channel for session in exchange.sessions for channel in session.channels}
    return {channel for channel in channels if channel.startswith(("ticker.", "deribit_price_index."))}


async def rows_of(gateway: Gateway, ticker: str) -> Sequence[Price]:
    return (await gateway.database.read(prices.page, PageQuery(ticker))).data


async def test_d4_without_tickers_a_gateway_follows_what_streams_want(tmp_path: Path) -> None:
    """It is ready without a subscription; every page works; a stream without channels has the connection alone."""
    async with running_exchange() as exchange, running_gateway(tmp_path, exchange, "", snapshot_interval=1) as running:
        gateway, client = running
        with anyio.fail_after(30):
            while (await client.get("/readyz")).status_code != 200:
                await anyio.sleep(0.05)
        for path in PAGES:
            answer = await client.get(path)
            assert answer.status_code == 200, path
        assert subscribed(exchange) == set()
        async with reading(str(client.base_url.join("/sse/?timer=0"))) as stream:
            state = await stream.event()
            assert (state.event, '"state":"live"' in state.data) == ("connection", True)
            assert subscribed(exchange) == set()
        async with reading(str(client.base_url.join("/sse/?timer=0&channels=sol_usd"))) as stream:
            while (await stream.event()).event != "sol_usd":
                pass
            assert subscribed(exchange) == {"deribit_price_index.sol_usd"}
            await anyio.sleep(2.5)
            answer = await client.get("/api/v1/candles", params={"ticker": "sol_usd", "resolution": "1m"})
            assert len(answer.json()["data"]) == 1
        assert await rows_of(gateway, "sol_usd") == []
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("record_wanted", [True, False])
async def test_d4_wanted_tickers_are_recorded_when_they_should_be(tmp_path: Path, record_wanted: bool) -> None:
    """Configured ones are in any case."""
    async with (
        running_exchange() as exchange,
        running_gateway(tmp_path, exchange, "btc_usd", snapshot_interval=1, record_wanted=record_wanted) as running,
    ):
        gateway, client = running
        async with reading(str(client.base_url.join("/sse/?timer=0&channels=sol_usd"))):
            with anyio.fail_after(60):
                while len(await rows_of(gateway, "btc_usd")) < 3:
                    await anyio.sleep(0.1)
            assert bool(await rows_of(gateway, "sol_usd")) is record_wanted


async def test_d4_a_doctor_needs_no_ticker(tmp_path: Path) -> None:
    """None is configured: none is wrong."""
    async with running_exchange() as exchange:
        urls = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        code, out, log = await run_program(tmp_path, "doctor", tickers="", **urls)
    assert code == 0, out + log


@pytest.mark.system
async def test_d4_the_board_works_without_configured_tickers(tmp_path: Path) -> None:
    """It begins empty; a ticker that a person adds is live, and gives the page its title."""
    async with (
        running_exchange() as exchange,
        running_gateway(tmp_path, exchange, "") as (gateway, _),
        running_server(gateway.app) as address,
        chromium(address) as window,
    ):
        page = await window.open()
        await expect(page.locator("#state")).to_have_attribute("data-state", "live")
        assert await page.locator(".tile").count() == 0
        await page.fill("#picker-name", "sol_usd")
        await page.press("#picker-name", "Enter")
        await expect(page.locator("[data-ticker=sol_usd] .whole")).not_to_have_text("—")
        await expect(page).to_have_title(re.compile(r"[\d,.]+ SOL/USD · cryptomarket"))
        for path in ("/history", "/status"):
            other = await window.open(path)
            await expect(other.locator("h1")).to_be_visible()


@pytest.mark.system
async def test_slots_get_a_price_while_the_connection_is_refused(tmp_path: Path) -> None:
    """The exchange answers over HTTP alone; in announced maintenance it is not asked, and the slots stay missing."""
    async with running_exchange() as exchange:
        exchange.inject("refuse_connections")
        async with running_gateway(tmp_path, exchange, "btc_usd,BTC-PERPETUAL", snapshot_interval=10) as (
            gateway,
            client,
        ):
            with anyio.fail_after(60):
                while len(rows := await rows_of(gateway, "btc_usd")) < 2:
                    await anyio.sleep(0.2)
            assert {row.source for row in rows} == {Source.SNAPSHOT}
            assert [late.timestamp - early.timestamp for early, late in pairwise(rows)] == [10]
            assert {row.source for row in await rows_of(gateway, "BTC-PERPETUAL")} == {Source.SNAPSHOT}
            assert (await client.get("/readyz")).status_code == 503
            await connect(exchange, gateway)
            asked = exchange.state.requests["public/get_index_price"]
            await anyio.sleep(10)  # the end of a slot with ticks
            assert exchange.state.requests["public/get_index_price"] == asked
            exchange.inject("maintenance")
            exchange.inject("refuse_connections")
            began = exchange.state.now_ms() // 1000
            await anyio.sleep(11)  # the end of a slot without
            assert exchange.state.requests["public/get_index_price"] == asked
            ended = exchange.state.now_ms() // 1000
            exchange.inject("maintenance", "off")
            await connect(exchange, gateway)
            rows = await rows_of(gateway, "btc_usd")
            assert max(Counter(row.timestamp for row in rows).values()) == 1
            assert not [row for row in rows if began <= row.timestamp <= ended and row.source == Source.SNAPSHOT]
            found = await gateway.database.read(ledger.coverage, "btc_usd", rows[0].timestamp, rows[-1].timestamp)
            assert found.intervals[0].source == Source.SNAPSHOT


async def connect(exchange: Exchange, gateway: Gateway) -> None:
    """Accept connections, and wait for a stored price of the new one."""
    since = exchange.state.now_ms() // 1000
    exchange.inject("refuse_connections", "off")
    with anyio.fail_after(60):
        while (last := (await rows_of(gateway, "btc_usd"))[-1]).source != Source.LIVE or last.timestamp < since - 10:
            await anyio.sleep(0.2)


@pytest.mark.system
async def test_a_silent_ticker_gets_a_price_from_http(tmp_path: Path) -> None:
    """One channel of a working connection sends nothing; the other tickers are not asked for."""
    async with running_exchange() as exchange:
        exchange.inject("stall", "deribit_price_index.eth_usd")
        async with running_gateway(tmp_path, exchange, "btc_usd,eth_usd", snapshot_interval=10) as (gateway, _):
            with anyio.fail_after(60):
                while len(rows := await rows_of(gateway, "eth_usd")) < 2:
                    await anyio.sleep(0.2)
            assert {row.source for row in rows} == {Source.SNAPSHOT}
            assert Source.SNAPSHOT not in {row.source for row in (await rows_of(gateway, "btc_usd"))[1:]}
            assert exchange.state.requests["public/get_index_price"] <= len(rows) + 1
