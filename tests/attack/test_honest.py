"""The checks of `make attack` notice every failure that they look for."""

import json
import time
from collections import Counter

import pytest

from cryptomarket.simulator.market import Market

from .attacker import Attack
from .attacks import ATTACKS
from .honest_logins import LoginReport
from .honest_requests import Requests
from .honest_streams import HonestStream, StreamReport, Truth
from .promises import promises, table
from .result import Plan, Result
from .target import MEMORY_BYTES, SEED

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
NOW = int(time.time() * 1000)
MOMENT, PRICE = Market(SEED).index_tick("btc_usd", NOW)


def chunk(*lines: str) -> bytes:
    """One event as a chunk of the response."""
    data = "\n".join([*lines, "", ""]).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def price(sequence: int, value: float = PRICE) -> bytes:
    """A price event."""
    data = {"ticker": "btc_usd", "price": value, "exchange_timestamp": MOMENT}
    return chunk(f"id: 1-{sequence}", "event: btc_usd", f"data: {json.dumps(data)}")


def connection(**data: object) -> bytes:
    """An event of the connection channel."""
    return chunk("event: connection", f"data: {json.dumps(data)}")


LIVE = connection(kind="upstream", state="live", ages={"btc_usd": 5})


@pytest.mark.parametrize(
    ("received", "noted"),
    [
        ((HEAD, LIVE, price(1), price(2)), None),
        ((HEAD, LIVE, price(2), price(1)), "ids do not rise"),
        ((HEAD, LIVE, price(1, PRICE + 0.01)), "wrong price"),
        ((HEAD, connection(kind="upstream", state="stale", ages={})), "told stale"),
        ((HEAD, LIVE, connection(kind="gap", reason="full", ticker="btc_usd")), "gap full"),
        ((HEAD, connection(kind="heartbeat", time=NOW, ages={"btc_usd": 60_000})), "told that prices are old"),
        ((HEAD, connection(kind="login_failed", reason="x")), "told login_failed"),
        ((b"HTTP/1.1 422 No\r\ncontent-length: 0\r\n\r\n",), "refused"),
        ((HEAD, b"no chunk\r\n"), "broken bytes"),
    ],
)
def test_what_a_stream_is_told_wrongly_is_noted(received: tuple[bytes, ...], noted: str | None) -> None:
    """Each false statement to a stream is counted under its name; true ones are not."""
    report = StreamReport()
    stream = HonestStream("timer=0&channels=btc_usd", Truth(), report)
    for part in received:
        stream.data_received(part)
    assert list(report.wrong) == ([noted] if noted else [])


def test_a_closed_stream_is_counted_unless_it_left() -> None:
    """A stream that the gateway closed is counted; one that its client left is not."""
    report = StreamReport()
    stays, leaves = (HonestStream("timer=0&channels=btc_usd", Truth(), report) for _ in range(2))
    leaves.leaving = True
    leaves.connection_lost(None)
    stays.connection_lost(ConnectionResetError())
    assert report.closed == {"ConnectionResetError": 1}


def good() -> Result:
    """Return a result with which every promise is held."""
    return Result(
        streams=StreamReport(opened=5, events=100),
        logins=LoginReport(outcomes=Counter({"logged in": 100}), in_time=98, overloaded=1),
        quiet={"rest": Requests([0.01])},
        attacked={"rest": Requests([0.049]), "health": Requests([0.09]), "ready": Requests([0.1])},
        memory=MEMORY_BYTES - 1,
        log_bytes=999_999,
        files=(10, 99, 30),
    )


def test_a_good_result_holds_every_promise() -> None:
    """A promise whose figure is just within its bound is held."""
    assert all(promise.held for promise in promises(Plan(), good())), table(promises(Plan(), good()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("streams", StreamReport(opened=5, events=100, closed=Counter({"ended": 1}))),
        ("streams", StreamReport(opened=5, events=100, wrong=Counter({"told stale": 1}))),
        ("streams", StreamReport(opened=5)),
        ("logins", LoginReport(outcomes=Counter({"logged in": 100}), in_time=98)),
        ("logins", LoginReport()),
        ("attacked", {**good().attacked, "rest": Requests([0.051])}),
        ("attacked", {**good().attacked, "rest": Requests([0.01], Counter({"503": 1}))}),
        ("attacked", {**good().attacked, "health": Requests([0.11])}),
        ("attacked", {**good().attacked, "ready": Requests([0.1], Counter({"503": 1}))}),
        ("attacked", {}),
        ("memory", MEMORY_BYTES),
        ("memory", 0),
        ("with_buffers", MEMORY_BYTES),
        ("attackers", {"attacks": {"X": {"outcomes": {"500": 1}}}}),
        ("log_bytes", 1_000_000),
        ("errors", ["Traceback"]),
        ("files", (10, 99, 99)),
        ("ended", "exited with 1"),
    ],
)
def test_each_broken_promise_shows(name: str, value: object) -> None:
    """A figure outside its bound breaks a promise."""
    result = good()
    setattr(result, name, value)
    assert not all(promise.held for promise in promises(Plan(), result))


def test_every_attack_takes_part_and_says_what_it_does() -> None:
    """No attack is forgotten in the list, and each has a sentence and a rate."""
    assert set(ATTACKS) == set(Attack.__subclasses__())
    assert len({kind.__name__ for kind in ATTACKS}) == len(ATTACKS)
    for kind in ATTACKS:
        assert (kind.__doc__ or "").endswith("."), kind
        assert kind.per_second > 0
