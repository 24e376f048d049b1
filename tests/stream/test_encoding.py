"""The encoder, read back by a parser that follows the specification of browsers."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent, parse
from cryptomarket.model import GapReason, Tick, Upstream, UpstreamState
from cryptomarket.stream.encoding import (
    connection_event,
    event,
    gap_data,
    heartbeat_data,
    price_event,
    retry,
    state_data,
)

TICK = Tick("btc_usd", Decimal("64250.13"), 1763668800123, epoch=7, sequence=20519)
#: Everything a payload could be made of, with what could forge a field more often than elsewhere.
TEXT = st.text(st.one_of(st.sampled_from("\r\n\0 :\t\ufeff\U0001f4a9\u2028\x0b\x85id"), st.characters(codec="utf-8")))


def test_a_tick_is_written_as_the_contract_shows_it() -> None:
    """A tick is an id, its ticker as the event, and the one JSON form of a price."""
    assert price_event(TICK) == (
        b"id: 7-20519\nevent: btc_usd\n"
        b'data: {"ticker":"btc_usd","price":64250.13,"timestamp":1763668800,"exchange_timestamp":1763668800123}\n\n'
    )


def test_connection_events_carry_no_id() -> None:
    """Events of the connection channel have no id, so that a reader resumes after its last tick."""
    state = state_data(Upstream(UpstreamState.LIVE, 5), {"btc_usd": 40})
    stream = b"".join((retry(1500), price_event(TICK), connection_event(state)))
    assert parse(stream)[1] == MessageEvent(
        "connection", '{"kind":"upstream","state":"live","since":5,"ages":{"btc_usd":40}}', "7-20519"
    )


def test_the_kinds_of_connection_events_are_as_the_contract_names_them() -> None:
    """Heartbeats and gaps are JSON objects with the fields of the contract."""
    assert json.loads(heartbeat_data(9, {})) == {"kind": "heartbeat", "time": 9, "ages": {}}
    assert json.loads(gap_data(GapReason.EPOCH, since="6-1")) == {"kind": "gap", "from": "6-1", "reason": "epoch"}
    refused = json.loads(gap_data(GapReason.REFUSED, ticker="X"))
    assert refused == {"kind": "gap", "from": None, "reason": "refused", "ticker": "X"}


@given(data=TEXT, name=TEXT, event_id=TEXT)
def test_no_text_forges_a_field(data: str, name: str, event_id: str) -> None:
    """Any data, name and id are read as one event, with the data complete except for the kind of line end."""
    parser = EventSourceParser()
    events = parser.receive(event(name, data, event_id) + b"data: next\n\n")
    assert [e.event for e in events] == [name.translate({10: 0xFFFD, 13: 0xFFFD, 0: 0xFFFD}) or "message", "message"]
    assert events[0].data == data.replace("\r\n", "\n").replace("\r", "\n")
    assert events[0].id == event_id.translate({10: 0xFFFD, 13: 0xFFFD, 0: 0xFFFD})
    assert events[1].data == "next"
    assert parser.retry is None
    assert parser.comments == []


@given(data=TEXT)
def test_json_strings_come_back_equal(data: str) -> None:
    """JSON with line breaks is read back unchanged."""
    assert parse(connection_event(json.dumps(data)))[0].json == data


def test_half_a_surrogate_pair_is_still_a_stream() -> None:
    """Characters without a UTF-8 form are replaced and do not end the delivery."""
    assert parse(event("x", "\ud83d"))[0].data == "?"
