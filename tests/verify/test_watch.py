"""A recording of hours: it goes on over lost connections and over an 08:00 UTC, stays small, and can be replayed."""

import time
from collections.abc import Callable
from pathlib import Path

from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.replay import read_recordings
from cryptomarket.simulator.switches import Switches
from cryptomarket.verify.rows import Row, Verdict
from cryptomarket.verify.watch import WATCHED

from ..simulator.client import connected
from .simulated import exchange_at_pace, rows_of

#: 23 November 2026, 07:59:30 UTC.
BEFORE_EIGHT = 1_795_420_770.0
PACE = 30.0
NOTHING_ELSE = frozenset({"no statement"})


def passing() -> Callable[[], float]:
    """A wall clock that stands at half a minute before 08:00 UTC now, and passes at the pace."""
    start = time.monotonic()
    return lambda: BEFORE_EIGHT + (time.monotonic() - start) * PACE


def watched(rows: list[Row]) -> dict[str, Row]:
    """The rows of what a long recording checks."""
    names = {one.name for one in WATCHED}
    found = {row.statement.name: row for row in rows if row.statement.name in names}
    assert found.keys() == names
    return found


async def test_a_recording_over_eight_with_lost_connections(tmp_path: Path) -> None:
    """With connections lost every 20 s, states and listings of 08:00 are seen and recorded, and the file replays."""
    place = tmp_path / "recording.jsonl"
    async with exchange_at_pace(PACE, day=True, wall=passing(), faults=["drop/20"]) as exchange:
        rows = await rows_of(exchange.ws_url, exchange.http_url, pace=PACE, record=place, watch_seconds=80.0,
                             only=NOTHING_ELSE)  # fmt: skip
        assert exchange.statistics()["connections"] >= 4
    assert {row.result for row in watched(rows).values()} == {Verdict.CONFIRMED}
    recorded = read_recordings([place])
    channels = {line.channel for line in recorded}
    assert channels >= {"instrument.state.any.any", "instrument.creation.any.any", "ticker.BTC-PERPETUAL.agg2"}
    assert sum("instrument.creation" in line.channel for line in recorded) > 400
    async with running_exchange(replay=place, speed=0) as again, connected(again) as client:
        await client.result("public/subscribe", channels=["instrument.state.any.any"])
        assert (await client.read())["params"]["data"]["state"] in {"open", "settlement"}


async def test_the_words_of_2022_are_found() -> None:
    """An exchange that announces in the words before 2026 differs in that statement alone."""
    switches = Switches(states_of_2026=False)
    async with exchange_at_pace(PACE, wall=passing(), switches=switches) as exchange:
        rows = await rows_of(exchange.ws_url, exchange.http_url, pace=PACE, watch_seconds=50.0, only=NOTHING_ELSE)
    assert {name for name, row in watched(rows).items() if row.result is Verdict.DIFFERS} == {"states_of_2026"}


async def test_a_recording_without_events_says_so(tmp_path: Path) -> None:
    """Without a listing nothing is judged; at the limit of its size the file ends with a whole line."""
    place = tmp_path / "recording.jsonl"
    async with exchange_at_pace(PACE, wall=lambda: BEFORE_EIGHT) as exchange:
        rows = await rows_of(exchange.ws_url, exchange.http_url, pace=PACE, record=place, most_bytes=20_000,
                             watch_seconds=15.0, only=NOTHING_ELSE)  # fmt: skip
    assert {row.seen for row in watched(rows).values()} == {"no listing and no expiry came"}
    assert 10_000 < place.stat().st_size <= 20_000
    assert read_recordings([place])
