"""The encoder: what goes in comes out of a browser's reader, and nothing else."""

import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

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
from tests.eventsource import Event, EventSourceParser, parse

TICK = Tick("btc_usd", Decimal("64250.13"), 1763668800123, epoch=7, sequence=20519)
#: Everything a payload could be made of, with what could forge a field more often than elsewhere.
TEXT = st.text(st.one_of(st.sampled_from("\r\n\0 :\t\ufeff\U0001f4a9\u2028\x0b\x85id"), st.characters(codec="utf-8")))


def test_a_tick_is_written_as_the_contract_shows_it() -> None:
    """Id, event and data, in the one JSON form of a price."""
    assert price_event(TICK) == (
        b"id: 7-20519\nevent: btc_usd\n"
        b'data: {"ticker":"btc_usd","price":64250.13,"timestamp":1763668800,"exchange_timestamp":1763668800123}\n\n'
    )


def test_connection_events_carry_no_id() -> None:
    """A reader's position stays that of its last tick."""
    state = state_data(Upstream(UpstreamState.LIVE, 5), {"btc_usd": 40})
    stream = b"".join((retry(1500), price_event(TICK), connection_event(state)))
    assert parse(stream)[1] == Event(
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
    """Whatever stands in data, name or id, a reader sees one event, its data whole but for the kind of line end."""
    parser = EventSourceParser()
    events = parser.feed(event(name, data, event_id) + b"data: next\n\n")
    assert [e.event for e in events] == [name.translate({10: 0xFFFD, 13: 0xFFFD, 0: 0xFFFD}) or "message", "message"]
    assert events[0].data == data.replace("\r\n", "\n").replace("\r", "\n")
    assert events[0].id == event_id.translate({10: 0xFFFD, 13: 0xFFFD, 0: 0xFFFD})
    assert events[1].data == "next"
    assert parser.retry is None
    assert parser.comments == []


@given(data=TEXT)
def test_json_strings_come_back_equal(data: str) -> None:
    """A payload in JSON, as all of ours are, survives line breaks too."""
    assert parse(connection_event(json.dumps(data)))[0].json == data


def test_half_a_surrogate_pair_is_still_a_stream() -> None:
    """What has no UTF-8 form is replaced instead of ending the delivery."""
    assert parse(event("x", "\ud83d"))[0].data == "?"
