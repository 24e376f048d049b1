"""Configured tickers that the exchange does not have: what is said of them, and that the others work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from cryptomarket.app.gateway import Gateway
from cryptomarket.model import UpstreamState
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.market import Market
from cryptomarket.web.health import Check
from tests.app.test_gateway import settings_for
from tests.processes import eventually
from tests.web.site import running_server

#: Within this time after the start a wrong ticker is named, in seconds.
SAID_WITHIN = 8.0


@asynccontextmanager
async def running_gateway(
    folder: Path, exchange: Exchange, tickers: str, **values: object
) -> AsyncIterator[tuple[Gateway, httpx2.AsyncClient]]:
    """Run a gateway with the tickers; yield it with a client of its pages."""
    gateway = Gateway(settings_for(folder, exchange, tickers=tickers, **values))
    async with (
        gateway.running(),
        running_server(gateway.app) as address,
        httpx2.AsyncClient(base_url=address, timeout=60) as client,
    ):
        yield gateway, client


async def checks(gateway: Gateway) -> dict[str, Check]:
    """Return the checks behind /readyz."""
    return dict((await gateway.status.health()).checks)


async def unlisted(gateway: Gateway) -> str:
    """Wait until a wrong ticker is named; return the sentence."""
    with anyio.fail_after(SAID_WITHIN):
        while (check := (await checks(gateway))["tickers"]).ok:
            await anyio.sleep(0.05)
    assert not check.needed
    return check.detail


def list_again(market: Market, name: str) -> None:
    """Undo the fault ``expire``."""
    del market._expired[name]
    market._listed.clear()


async def test_d5_a_misspelt_ticker_beside_a_good_one_degrades(tmp_path: Path) -> None:
    """It is named within eight seconds and is no ticker of the API; prices of the others are live."""
    async with (
        running_exchange() as exchange,
        running_gateway(tmp_path, exchange, "btc_usd,btc_usdd") as (node, client),
    ):
        assert "does not list btc_usdd (did you mean btc_usd" in await unlisted(node)
        await eventually(lambda: node.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        listed = (await client.get("/api/v1/tickers", params={"search": "btc_usd"})).json()["data"]
        assert "btc_usdd" not in [entry["ticker"] for entry in listed]
        problem = await client.get("/api/v1/prices", params={"ticker": "btc_usdd"})
        assert (problem.status_code, problem.json()["nearest"][0]) == (404, "btc_usd")


async def test_d5_misspelt_tickers_alone_say_why_nothing_connects(tmp_path: Path) -> None:
    """The check of upstream fails with the names, instead of a bare "connecting"."""
    async with running_exchange() as exchange, running_gateway(tmp_path, exchange, "btc_usdd") as (node, client):
        await unlisted(node)
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "btc_usdd (did you mean btc_usd" in ready.json()["checks"]["upstream"]["detail"]


async def test_d5_an_unreachable_catalogue_claims_nothing(tmp_path: Path) -> None:
    """Without the list of the exchange a configured ticker counts as known."""
    values = {"deribit_http_url": "http://127.0.0.1:1/api/v2"}
    async with (
        running_exchange() as exchange,
        running_gateway(tmp_path, exchange, "btc_usd,btc_usdd", **values) as (node, client),
    ):
        await eventually(lambda: node.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
        assert (await checks(node))["tickers"] == Check(
            True, "not compared yet with the list of the exchange", needed=False
        )
        listed = (await client.get("/api/v1/tickers")).json()["data"]
        assert [entry["ticker"] for entry in listed] == ["btc_usd", "btc_usdd"]


@pytest.mark.system
async def test_d5_an_instrument_that_ends_is_said_and_comes_back_to_life(tmp_path: Path) -> None:
    """Its end does not make the node stale; its stored prices stay; once listed again it ticks and nothing is said."""
    async with running_exchange() as exchange:
        market = exchange.state.market
        name = sorted(
            n for n in market.instruments(exchange.state.now_ms()) if n.startswith("BTC-") and n[-1].isdigit()
        )[0]
        async with running_gateway(tmp_path, exchange, f"btc_usd,{name}", snapshot_interval=1) as (node, client):
            await eventually(lambda: node.latest.tick(name), "the instrument ticks")
            while (await checks(node))["tickers"].detail != "all listed by the exchange":
                await anyio.sleep(0.05)
            exchange.inject("expire", name)
            assert f"does not list {name}" in await unlisted(node)
            ages = node.latest.ages
            await eventually(lambda: ages([name])[name] > 8_000, "the silence is longer than any rhythm")
            assert node.latest.upstream().state is UpstreamState.LIVE
            stored = await client.get("/api/v1/prices", params={"ticker": name})
            assert stored.json()["data"]
            before = node.latest.tick(name)
            list_again(market, name)
            await eventually(lambda: node.latest.tick(name) != before, "the instrument ticks again")
            assert (await checks(node))["tickers"] == Check(True, "all listed by the exchange", needed=False)
