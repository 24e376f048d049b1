"""The event log: what it keeps, and how much memory that takes."""

import random
import tracemalloc
from decimal import Decimal

from cryptomarket.model import GapReason, Tick
from cryptomarket.stream.event_log import MOST_BYTES, EventLog

CONFIGURED = ["btc_usd", "eth_usd"]
DEMANDED = [f"BTC-27MAR26-{100_000 + i}-C" for i in range(200)]
NONE: frozenset[str] = frozenset()
ENTRY_BYTES = 200


def tick(ticker: str, sequence: int) -> Tick:
    """A tick with numbers as long as those of an option."""
    price = Decimal(f"0.{sequence:08}")
    last, bid, ask = (price, price, price) if ticker.isupper() else (None, None, None)
    return Tick(ticker, price, 1_763_668_800_000 + sequence, last, bid, ask, epoch=7, sequence=sequence)


def counted(log: EventLog) -> int:
    """The bytes of all that is kept, counted anew."""
    return sum(len(entry.data) + ENTRY_BYTES for ring in log._rings.values() for entry in ring.entries)


def test_the_memory_of_two_hundred_instruments_is_bounded() -> None:
    """All their ticks together take no more memory of the process than the bound and a tenth."""
    most = 4 * 2**20
    log = EventLog(CONFIGURED, kept_demanded=10_000, most_bytes=most)
    log.follow(frozenset(DEMANDED), NONE)
    tracemalloc.start()
    try:
        for sequence in range(1, 30_001):
            log.append(tick(DEMANDED[sequence % 200], sequence), float(sequence))
            if sequence % 1000 == 0:
                assert log.bytes <= most
        measured, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert log.bytes == counted(log)
    assert 0.75 * log.bytes <= measured <= 1.1 * most


def test_of_tickers_that_only_streams_want_few_ticks_are_kept() -> None:
    """Of configured ones ten thousand."""
    log = EventLog(CONFIGURED)
    log.follow(frozenset({"A"}), NONE)
    for sequence in range(1, 24_001):
        log.append(tick("A" if sequence % 2 else "btc_usd", sequence), 0.0)
    assert 500 <= log.count(["A"], 0) <= 563
    assert 10_000 <= log.count(["btc_usd"], 0) <= 11_250
    assert log.bytes == counted(log) < MOST_BYTES
    log.follow(NONE, frozenset({"A"}))
    assert log.bytes == counted(log)


def test_demanded_tickers_make_room_before_configured_ones() -> None:
    """The largest goes first; a resume from what was dropped is too old, and one from what is kept is complete."""
    size = len(tick("A", 1).json()) + ENTRY_BYTES + 30
    log = EventLog(CONFIGURED, kept=1000, most_bytes=1000 * size)
    log.follow(frozenset("AB"), NONE)
    sequence = 0
    for ticker, count in (("btc_usd", 100), ("A", 400), ("B", 200), ("eth_usd", 700)):
        for _ in range(count):
            sequence += 1
            log.append(tick(ticker, sequence), 0.0)
    assert log.count(["btc_usd"], 0) == 100
    assert log.count(["eth_usd"], 0) == 700
    assert log.count(["A"], 0) < 300
    assert log.resume(["A"], "7-100") is GapReason.TOO_OLD
    assert log.resume(["btc_usd", "eth_usd"], "7-1") == 1
    for _ in range(1500):
        sequence += 1
        log.append(tick("eth_usd", sequence), 0.0)
    assert log.bytes == counted(log) <= log.most_bytes
    assert log.count(["A"], 0) == log.count(["B"], 0) == 1
    assert log.resume(["btc_usd"], "7-1") is GapReason.TOO_OLD
    assert log.newest(["btc_usd"])


def test_a_chunk_is_what_follows_a_position_in_order() -> None:
    """However many tickers there are and however their ticks mix."""
    draw = random.Random(3)
    log = EventLog(CONFIGURED)
    log.follow(frozenset(DEMANDED), NONE)
    tickers = draw.sample(DEMANDED, 18) + CONFIGURED
    for sequence in range(1, 3001):
        log.append(tick(draw.choice(tickers), sequence), 0.0)
    after = 0
    seen: list[int] = []
    while chunk := log.chunk(tickers, after):
        assert len(chunk) <= 128
        seen += [entry.position for entry in chunk]
        after = seen[-1]
    assert seen == list(range(1, 3001))
