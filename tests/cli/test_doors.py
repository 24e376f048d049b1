"""The commands at the doors of Coinbase, as processes beside two simulated hosts."""

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.processes import Program, eventually, run_program, running_program
from tests.reader import reading

pytestmark = pytest.mark.system

#: The simulated hosts close a silent connection sooner than the real ones are said to, so that the test is shorter.
SILENCE_SECONDS = 18
TICKERS = ("BTC_USDC-PERPETUAL", "btc_usdc")


@asynccontextmanager
async def simulated(folder: Path, door: str) -> AsyncIterator[tuple[str, str]]:
    """Run `cryptomarket simulate` at a door; yields its addresses of WebSocket and HTTP."""
    switch = f"coinbase_silence_seconds={SILENCE_SECONDS}"
    async with running_program(folder, "simulate", "--port", "0", "--door", door, "--switch", switch) as host:
        line = await eventually(lambda: next((x for x in host.out.splitlines() if "http://" in x), None), "address")
        ws, http = (word for word in line.split() if "://" in word)
        yield ws, http


def upstream_states(program: Program) -> list[str]:
    """The states of upstream that the gateway logged."""
    lines = [json.loads(line) for line in program.log.splitlines() if line.startswith("{")]
    return [line["state"] for line in lines if line["event"] == "upstream state changed"]


async def test_coinbase_is_followed_for_longer_than_it_bears_silence(tmp_path: Path) -> None:
    """Prices of both kinds keep arriving on one connection; other commands obey the door; swapped hosts are named."""
    async with contextlib.AsyncExitStack() as stack:
        streams = await stack.enter_async_context(simulated(tmp_path, "coinbase-streams"))
        main = await stack.enter_async_context(simulated(tmp_path, "coinbase-main"))
        common = {"exchange": "coinbase", "tickers": ",".join(TICKERS), "log_format": "json"}
        right = common | {"deribit_ws_url": streams[0], "deribit_http_url": main[1]}
        wrong = common | {"deribit_ws_url": main[0], "deribit_http_url": streams[1]}
        (tmp_path / "swapped").mkdir()
        gateway = await stack.enter_async_context(running_program(tmp_path, "serve", **right))
        swapped = await stack.enter_async_context(running_program(tmp_path / "swapped", "serve", **wrong))
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=60))
        await eventually(lambda: "live" in upstream_states(gateway), "prices arrive")
        began = anyio.current_time()

        await eventually(lambda: "down" in upstream_states(swapped), "the wrong host is noticed")
        ready = await client.get(f"{await swapped.url()}/readyz")
        assert ready.status_code == 503
        assert "wrong host?" in ready.json()["checks"]["upstream"]["detail"]
        assert swapped.log.count("upstream state changed") == 2  # connecting, down

        code, out, log = await run_program(tmp_path, "doctor", "--json", **wrong)
        says = {check["name"]: check["says"] for check in map(json.loads, out.splitlines())}
        assert code == 1, log
        assert "wrong host? see CRYPTOMARKET_EXCHANGE" in says["prices"]
        assert "wrong host? see CRYPTOMARKET_EXCHANGE" in says["exchange"]
        code, out, log = await run_program(tmp_path, "doctor", "--json", **right)
        assert code == 0, out + log
        code, out, log = await run_program(tmp_path, "snapshot", **right)
        assert code == 0, out + log

        await anyio.sleep(SILENCE_SECONDS + 3 - (anyio.current_time() - began))
        async with reading(f"{await gateway.url()}/sse/?timer=0") as reader:
            for ticker in TICKERS:
                assert (await reader.next(ticker)).json["ticker"] == ticker
        assert upstream_states(gateway) == ["connecting", "live"]
        assert (await client.get(f"{await gateway.url()}/readyz")).status_code == 200
        assert await gateway.stop() == 0
        assert await swapped.stop() == 0
        assert "Traceback" not in gateway.log + swapped.log
