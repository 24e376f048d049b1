"""Streams that ask for fields: prices of instruments have the groups, and other streams are unchanged."""

from decimal import Decimal

import pytest

from cryptomarket.fields import FIELD_GROUPS
from cryptomarket.model import Tick
from cryptomarket.stream.encoding import with_fields
from cryptomarket.stream.event_log import EventLog

from .reader import Harness, Reader, tick
from .server import Serving

BTC = "BTC-PERPETUAL"
GROUPS = ",".join(FIELD_GROUPS)


def instrument(price: int, ticker: str = BTC) -> Tick:
    """A tick of an instrument whose fields say its price."""
    values = f"{price},null,null,{price}.50,0.0", f"{price},2,3,4,5,6", None, f"0.{price:05},0.0", f"{price},7,null"
    return Tick(ticker, Decimal(price), 1_763_668_800_000 + price, Decimal(price), fields=values)


def bodies(reader: Reader) -> list[str]:
    """The data of each price received, as text."""
    return [event.data for event in reader.events if event.event != "connection"]


def test_each_price_of_an_instrument_has_the_groups_behind_its_usual_members() -> None:
    """A stream beside it without fields receives what it always received; an index has none."""
    harness = Harness()
    usual, _ = harness.join(0, BTC, "btc_usd")
    asked, _ = harness.join(0, BTC, "btc_usd", fields="funding,quote,greeks")
    for price in (1, 2):
        harness.bus.publish(instrument(price))
        harness.publish(price)
        harness.turn()
    assert bodies(usual) == [text for price in (1, 2) for text in (instrument(price).json(), tick(price=price).json())]
    assert bodies(asked)[0] == bodies(usual)[0][:-1] + (
        ',"quote":{"last":1,"bid":null,"ask":null,"bid_amount":1.50,"ask_amount":0.0},"greeks":null,'
        '"funding":{"current_funding":0.00001,"funding_8h":0.0}}'
    )
    assert bodies(asked)[1::2] == bodies(usual)[1::2]
    assert [event.id for event in asked.events] == [event.id for event in usual.events]


def test_a_timer_delivers_the_newest_with_its_fields() -> None:
    """On joining as well; the log keeps no fields for it."""
    harness = Harness()
    harness.join(60, BTC)
    harness.bus.publish(instrument(1))
    kept = harness.manager.statistics().event_log_bytes
    asked, _ = harness.join(5, BTC, fields=GROUPS)
    assert bodies(asked) == [instrument(1).json(tuple(FIELD_GROUPS))]
    for price in (2, 3):
        harness.bus.publish(instrument(price))
    harness.advance(5)
    assert bodies(asked)[1:] == [instrument(3).json(tuple(FIELD_GROUPS))]
    assert harness.manager.statistics().event_log_bytes == 3 * kept


def test_a_stream_resumes_with_the_fields_of_every_tick_it_missed() -> None:
    """Ticks of the time before anybody asked for fields are too old for it, not for a stream without fields."""
    harness = Harness()
    harness.join(0, BTC)
    for price in (1, 2, 3):
        harness.bus.publish(instrument(price))
    first, stream = harness.join(0, BTC, fields="stats", last_event_id="7-1")
    assert [gap["reason"] for gap in first.channel_events("gap")] == ["too_old"]
    assert bodies(first) == [instrument(3).json(("stats",))]
    harness.manager.leave(stream)
    for price in (4, 5):
        harness.bus.publish(instrument(price))
    again, _ = harness.join(0, BTC, fields="quote,stats", last_event_id="7-2")
    assert bodies(again) == [instrument(price).json(("quote", "stats")) for price in (3, 4, 5)]
    assert not again.channel_events("gap")
    usual, _ = harness.join(0, BTC, last_event_id="7-1")
    assert bodies(usual) == [instrument(price).json() for price in (2, 3, 4, 5)]


def test_many_missed_ticks_are_sent_again_with_fields() -> None:
    """Chunk after chunk, also when the reader stalls between them."""
    harness = Harness()
    harness.join(0, BTC, fields="quote")
    for price in range(1, 301):
        harness.bus.publish(instrument(price))
    reader = Reader()
    reader.stalled = True
    harness.join(0, BTC, fields="quote", last_event_id="7-10", reader=reader)
    reader.wake()
    assert bodies(reader) == [instrument(price).json(("quote",)) for price in range(11, 301)]


def test_a_reader_that_stalls_receives_the_newest_with_fields() -> None:
    """It was blocked while ticks came."""
    harness = Harness()
    reader, _ = harness.join(0, BTC, fields="quote")
    reader.stalled = True
    for price in (1, 2, 3):
        harness.bus.publish(instrument(price))
        harness.turn()
    reader.wake()
    assert bodies(reader) == [instrument(3).json(("quote",))]


def test_a_ticker_that_gets_room_later_has_fields() -> None:
    """The stream asked for it when it was not followed."""
    harness = Harness(max_tickers=3)
    _, other = harness.join(0, "FULL-1", address="192.0.2.1")
    reader, _ = harness.join(0, BTC, fields="quote", address="192.0.2.2")
    assert [gap["reason"] for gap in reader.channel_events("gap")] == ["full"]
    harness.manager.leave(other)
    harness.advance(31, step=1)
    for price in (1, 2):
        harness.bus.publish(instrument(price))
    harness.turn()
    assert bodies(reader) == [instrument(price).json(("quote",)) for price in (1, 2)]


def test_the_same_fields_in_another_order_are_the_same_cohort() -> None:
    """So each event is encoded once for all of them."""
    harness = Harness()
    harness.join(0, BTC, fields="quote,stats")
    harness.join(0, BTC, fields="stats,quote")
    assert harness.manager.statistics().cohorts == 1
    harness.join(0, BTC, "btc_usd", fields="stats,quote")
    with_fields.cache_clear()
    harness.bus.publish(instrument(1))
    harness.turn()
    assert harness.manager.statistics().cohorts == 2
    assert with_fields.cache_info().misses == 1


def test_the_log_counts_the_fields_it_keeps() -> None:
    """Without a stream that wants every tick with fields there are none, and all of it stays bounded."""
    plain, kept = EventLog([], most_bytes=200_000), EventLog([], most_bytes=200_000)
    for log in (plain, kept):
        log.follow(frozenset({BTC}), frozenset())
        log.append(instrument(1).at(7, 1), 0.0)
    before = kept.bytes
    kept.keep_fields([BTC])
    assert plain.bytes == before < kept.bytes
    for sequence in range(2, 1_000):
        for log in (plain, kept):
            log.append(instrument(sequence).at(7, sequence), 0.0)
            assert log.bytes <= 200_000
            assert log.bytes == sum(entry.size for ring in log._rings.values() for entry in ring.entries)
    assert not any(entry.fields for entry in plain.chunk([BTC], 0))
    assert all(entry.fields for entry in kept.chunk([BTC], 0))
    kept.follow(frozenset(), frozenset({BTC}))
    assert kept.bytes == 0
    kept.follow(frozenset({BTC}), frozenset())
    kept.append(instrument(1_000).at(7, 1_000), 0.0)
    assert not any(entry.fields for entry in kept.chunk([BTC], 0))


async def test_over_a_socket_a_wrong_name_is_refused_before_the_stream(serving: Serving) -> None:
    """A right one flows, with the bytes of the one JSON form."""
    async with serving() as site:
        wrong = await site.get("/sse/?timer=0&channels=BTC-PERPETUAL&fields=quote,bids")
        body = await wrong.to_end()
        assert (wrong.status, b'"parameter":"fields"' in body) == (422, True)
        stream = await site.get("/sse/?timer=0&channels=BTC-PERPETUAL,btc_usd&fields=stats,quote")
        await stream.until(1)
        site.bus.publish(instrument(1))
        site.publish(2)
        events = [event for event in await stream.until(3) if event.event != "connection"]
        assert events[0].data == instrument(1).json(("quote", "stats"))
        assert "quote" not in events[1].data


@pytest.mark.parametrize("timer", [0, 5])
def test_the_cost_of_streams_without_fields_is_that_of_their_own_events(timer: float) -> None:
    """Nothing is made for groups that nobody asked for."""
    harness = Harness()
    with_fields.cache_clear()
    harness.join(timer, BTC)
    harness.bus.publish(instrument(1))
    harness.advance(6)
    assert with_fields.cache_info().misses == 0
