"""Recorded frames of the exchange, replayed through a gateway process to a strict reader."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from cryptomarket.fields import FIELD_GROUPS

from .processes import free_port, running_program
from .reader import Reader, exact, reading
from .recorded import recorded_folder, recorded_lines
from .recorded_fields import expected_fields

pytestmark = pytest.mark.system

FILES = ["fastmm-2026-09-30.ws-ticker-production.jsonl", "nautilus-2025-2026.jsonl", "kyber-2022-09.ws-data-only.jsonl"]


def recorded_ticks(name: str) -> Iterator[dict[str, Any]]:
    """Parse the ticks of the file in order, independently of the program."""
    for line in recorded_lines(name):
        message = json.loads(line["raw"], parse_float=Decimal, parse_int=Decimal)
        if line.get("part") == "params.data":
            channel, data = line["channel"], message
        elif message.get("method") == "subscription":
            channel, data = message["params"]["channel"], message["params"]["data"]
        else:
            continue
        if channel.startswith("deribit_price_index."):
            yield {"ticker": data["index_name"], "price": data["price"], "exchange_timestamp": data["timestamp"]}
        elif channel.startswith("ticker.") and channel.endswith(".100ms"):
            beside = {"last": data["last_price"], "bid": data["best_bid_price"], "ask": data["best_ask_price"]}
            name, price = data["instrument_name"], data["mark_price"]
            fields = expected_fields(data)
            yield {"ticker": name, "price": price, "exchange_timestamp": data["timestamp"], **beside, **fields}


async def replayed(
    folder: Path, name: str, speed: float, timer: float, done: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Replay the file through a gateway to an open stream; return its prices when ``done`` accepts them."""
    path = (recorded_folder() or Path()) / name
    tickers = sorted({tick["ticker"] for tick in recorded_ticks(name)})
    port = free_port()
    address = {
        "deribit_ws_url": f"ws://127.0.0.1:{port}/ws/api/v2",
        "deribit_http_url": f"http://127.0.0.1:{port}/api/v2",
    }
    async with running_program(folder, "serve", tickers=",".join(tickers), **address) as gateway:
        url = await gateway.url()
        async with reading(f"{url}/sse/?timer={timer}&fields={','.join(FIELD_GROUPS)}") as reader:
            await reader.next("connection")
            arguments = ["simulate", "--port", str(port), "--replay", str(path), "--speed", str(speed)]
            async with running_program(folder, *arguments) as exchange:
                found = await prices(reader, done)
                assert "Traceback" not in exchange.log
        assert "Traceback" not in gateway.log
    return found


async def prices(reader: Reader, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with anyio.move_on_after(120):
        while not done(found):
            event = await reader.event()
            if event.event != "connection":
                found.append({"id": event.id, **exact(event)})
    return found


@pytest.mark.parametrize("name", FILES)
async def test_every_recorded_price_arrives_exactly(tmp_path: Path, name: str) -> None:
    """At timer=0 every recorded price of a subscribed ticker arrives with all fields, in order, to the last digit."""
    truth = list(recorded_ticks(name))
    assert truth
    found = await replayed(
        tmp_path, name, speed=1 if len(truth) < 5 else 4, timer=0, done=lambda found: len(found) >= len(truth)
    )
    assert [{key: tick[key] for key in tick if key not in ("id", "timestamp")} for tick in found] == truth
    sequence = [int(tick["id"].split("-")[1]) for tick in found]
    assert sequence == list(range(1, len(truth) + 1))


async def test_a_slow_timer_conflates_to_the_newest(tmp_path: Path) -> None:
    """At timer=1 each ticker's last recorded price arrives, and prices of a ticker never step back."""
    truth = list(recorded_ticks(FILES[0]))
    last = {tick["ticker"]: tick["price"] for tick in truth}
    order = {(tick["ticker"], tick["exchange_timestamp"], tick["price"]): n for n, tick in enumerate(truth)}

    def newest(found: list[dict[str, Any]]) -> dict[str, Any]:
        return {tick["ticker"]: tick["price"] for tick in found}

    found = await replayed(tmp_path, FILES[0], speed=2, timer=1, done=lambda found: newest(found) == last)
    assert newest(found) == last
    for ticker in last:
        positions = [
            order[ticker, tick["exchange_timestamp"], tick["price"]] for tick in found if tick["ticker"] == ticker
        ]
        assert positions == sorted(set(positions))
    assert len(found) < len(truth)
