"""The life of instruments, and the shape of a real day by a clock that the test moves."""

from collections import Counter
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.switches import Switches

from .client import RICH, Client, connected

#: A midnight UTC, in seconds.
MIDNIGHT = 1_795_132_800.0
HOUR = 3600.0
STATES, CREATIONS, PLATFORM = "instrument.state.any.any", "instrument.creation.any.any", "platform_state"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, hours: float) -> None:
        self.now = MIDNIGHT + hours * HOUR

    def __call__(self) -> float:
        """The time in UNIX seconds."""
        return self.now

    async def move(self, exchange: Exchange, client: Client, seconds: float) -> list[dict[str, Any]]:
        """Move on, and return what the client is told of this moment."""
        self.now += seconds
        exchange.step()
        await client.result("public/get_time")
        await client.result("public/get_time")  # its answer is behind all that the step sent
        told, client.notifications = client.notifications, []
        return [message["params"] for message in told]


@pytest.mark.parametrize(
    ("new_words", "listed", "ended"),
    [
        (True, ["open"], ["settlement", "delivered", "archivized"]),
        (False, ["created", "started"], ["deactivated", "settled", "closed", "terminated"]),
    ],
)
async def test_the_daily_expiry_in_both_vocabularies(new_words: bool, listed: list[str], ended: list[str]) -> None:
    """At 08:00 UTC instruments end and others are listed, each state once; a new one is told of as a whole."""
    clock, switches = Clock(7.999), Switches(states_of_2026=new_words)
    async with running_exchange(wall=clock, switches=switches) as exchange, connected(exchange) as client:
        before = {row["instrument_name"]: row for row in await client.result("public/get_instruments")}
        await client.result("public/subscribe", channels=[STATES, CREATIONS])
        told = [row for seconds in (5, 3, 60) for row in await clock.move(exchange, client, seconds)]
        after = {row["instrument_name"]: row for row in await client.result("public/get_instruments")}
        gone, new = before.keys() - after.keys(), after.keys() - before.keys()
        assert len(gone) == len(new) > 50
        words: dict[str, list[str]] = {}
        for row in told:
            if row["channel"] == STATES:
                words.setdefault(row["data"]["instrument_name"], []).append(row["data"]["state"])
        assert words == dict.fromkeys(gone, ended) | dict.fromkeys(new, listed)
        created = {row["data"]["instrument_name"]: row["data"] for row in told if row["channel"] == CREATIONS}
        assert created == {name: after[name] for name in new}


async def test_a_kind_and_a_currency_hear_of_their_instruments_alone() -> None:
    """Combos in BTC are told of on their channel, and options in USDC on theirs."""
    clock = Clock(7.999)
    async with running_exchange(wall=clock) as exchange, connected(exchange) as client:
        channels = ["instrument.state.option_combo.BTC", "instrument.creation.option.USDC"]
        await client.result("public/subscribe", channels=channels)
        told = await clock.move(exchange, client, 5)
        names = {channel: {row["data"]["instrument_name"] for row in told if row["channel"] == channel}
                 for channel in channels}  # fmt: skip
        assert all(name.startswith(("BTC-CS", "BTC-STRD")) for name in names[channels[0]])
        assert all("_USDC-" in name for name in names[channels[1]])
        assert all(names.values())


async def test_a_new_subscriber_is_told_of_the_lock_of_each_index() -> None:
    """One notification for each index, as probed: which are locked, and which are not."""
    async with running_exchange(wall=Clock(1)) as exchange, connected(exchange) as client:
        exchange.inject("lock", "sol_usdc")
        await client.result("public/subscribe", channels=[PLATFORM])
        await client.result("public/get_time")
        told = [row["params"]["data"] for row in client.notifications]
        assert len(told) > 100
        assert {row["price_index"] for row in told if row["locked"]} == {"sol_usdc"}
        assert all(row["reasons"] == [] for row in told)


async def test_26_hours_of_a_real_day() -> None:
    """Of 5,000 instruments 490 expire at 08:00 and others are listed; a lock is silent, maintenance disconnects."""
    clock = Clock(6.5 - 24)
    told: list[dict[str, Any]] = []
    async with running_exchange(wall=clock, day=True, budgets=RICH) as exchange:
        expiring = next(name for name in exchange.state.market.instruments(exchange.state.now_ms()) if "-C" in name)
        channels = [STATES, PLATFORM, f"ticker.{expiring}.agg2", "ticker.SOL_USDC-PERPETUAL.agg2"]
        while clock.now < MIDNIGHT + 8.6 * HOUR:
            async with connected(exchange) as client:
                with anyio.move_on_after(30):
                    told += await _follow(exchange, client, clock, channels)
        listed = await _count(exchange)
    states = Counter(row["data"]["state"] for row in told if row["channel"] == STATES)
    days = 2  # 08:00 of both days lies within
    assert {word: pytest.approx(days * 494, abs=20) for word in states} == dict(states)
    assert set(states) == {"settlement", "delivered", "archivized", "open"}
    assert listed == pytest.approx(5034, abs=60)
    platform = [row["data"] for row in told if row["channel"] == PLATFORM]
    assert {"maintenance": True} in platform
    assert [row["locked"] for row in platform if row.get("price_index") == "sol_usdc" and row["locked"]] == [True]
    at = [row["data"]["timestamp"] / 1000 for row in told if row["channel"] == channels[2]]
    assert max(at) <= MIDNIGHT - 24 * HOUR + 8 * HOUR  # silent since its expiry
    locked = [row["data"]["timestamp"] / 1000 - MIDNIGHT for row in told if row["channel"] == channels[3]]
    assert not any(5 * HOUR + 1 < moment < 5 * HOUR + 590 for moment in locked)
    assert any(5 * HOUR + 600 < moment < 6 * HOUR for moment in locked)


async def _follow(exchange: Exchange, client: Client, clock: Clock, channels: list[str]) -> list[dict[str, Any]]:
    """Follow the channels until the exchange ends the connection or the day is over."""
    told: list[dict[str, Any]] = []
    try:
        await client.result("public/subscribe", channels=channels)
        while clock.now < MIDNIGHT + 8.6 * HOUR:
            told += await clock.move(exchange, client, 120)
    except (ConnectionClosed, KeyError):  # maintenance ends the connection and refuses calls: what had arrived counts
        told += [message["params"] for message in client.notifications]
        clock.now += 120
    return told


async def _count(exchange: Exchange) -> int:
    async with connected(exchange) as client:
        return len(await client.result("public/get_instruments"))
