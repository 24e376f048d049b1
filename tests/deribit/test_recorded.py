"""Every recorded answer of the exchange decodes into our types, with the values that the file holds."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from cryptomarket.deribit.http_client import result_of
from cryptomarket.deribit.instruments import InstrumentData
from cryptomarket.deribit.messages import TickerData, decode_as, number
from cryptomarket.deribit.protocol import ErrorReply, Heartbeat, Notified, Protocol, Purpose, Result
from cryptomarket.errors import ExchangeRefused
from tests.recorded import recorded_lines


def whole(raw: msgspec.Raw | bytes) -> Any:
    return json.loads(bytes(raw), parse_float=Decimal)


def test_every_answer_on_the_websocket_reaches_the_one_who_asked() -> None:
    """Results and errors with an id end the request of that id and lose nothing of the result."""
    seen = 0
    for line in recorded_lines():
        expected = json.loads(line["raw"], parse_float=Decimal) if "part" not in line else {}
        if not isinstance(expected, dict) or line["direction"] == "out" or not isinstance(expected.get("id"), int):
            continue
        protocol = Protocol()
        for _ in range(expected["id"] + 1):
            protocol.request("public/test", {}, Purpose.CALL, 0.0)
        if expected["id"] == 0:
            continue
        (event,) = protocol.receive(line["raw"], 0.0)
        if "error" in expected:
            assert isinstance(event, ErrorReply)
            assert (event.code, event.message) == (expected["error"]["code"], expected["error"]["message"])
            assert str(expected["error"]["data"]["reason"]) in event.reason
        else:
            assert isinstance(event, Result)
            assert whole(event.result) == expected["result"]
        seen += 1
    assert seen >= 6


def test_every_answer_over_http_gives_its_result_or_its_error() -> None:
    """Without an id, with keys in any order, and with a status that means little."""
    seen = 0
    for line in recorded_lines():
        expected = json.loads(line["raw"], parse_float=Decimal) if "part" not in line else {}
        if not isinstance(expected, dict) or not ("result" in expected or "error" in expected):
            continue
        status = line.get("http_status", 200)
        if "error" in expected:
            with pytest.raises(ExchangeRefused) as caught:
                result_of("public/x", status, line["raw"].encode())
            assert caught.value.code == expected["error"]["code"]
        else:
            assert whole(result_of("public/x", status, line["raw"].encode())[0]) == expected["result"]
        seen += 1
    assert seen >= 15


def test_every_notification_keeps_channel_and_data() -> None:
    """Tickers, books, trades, charts and heartbeats of seven years."""
    seen = 0
    for line in recorded_lines():
        if line["direction"] == "out" or '"method"' not in line["raw"]:
            continue
        expected = json.loads(line["raw"], parse_float=Decimal)
        (event,) = Protocol().receive(line["raw"], 0.0)
        if expected["method"] == "heartbeat":
            assert event == Heartbeat(is_test_request=True)
        else:
            assert isinstance(event, Notified)
            assert event.channel == expected["params"]["channel"]
            assert whole(event.data) == expected["params"]["data"]
        seen += 1
    assert seen > 500


def test_every_recorded_instrument_can_be_listed() -> None:
    """Lists of 2021 and of 2026, and the single ones between."""
    seen = 0
    for line in recorded_lines():
        expected = json.loads(line["raw"]) if "part" not in line else {}
        result = expected.get("result") if isinstance(expected, dict) else None
        found = result if isinstance(result, list) else [result]
        for one in found:
            if isinstance(one, dict) and {"instrument_name", "kind", "tick_size"} <= one.keys():
                instrument = decode_as(InstrumentData, json.dumps(one).encode()).instrument()
                assert (instrument.name, instrument.kind) == (one["instrument_name"], one["kind"])
                assert instrument.unit == one["quote_currency"]
                assert instrument.tick_size == Decimal(str(one["tick_size"]))
                expires = one["expiration_timestamp"]
                assert instrument.expiry == (None if expires == 32503708800000 else expires // 1000)
                seen += 1
    assert seen > 100


def test_every_recorded_ticker_answer_has_its_mark() -> None:
    """`public/ticker` has the fields of the channel."""
    seen = 0
    for line in recorded_lines():
        expected = json.loads(line["raw"], parse_float=Decimal) if "part" not in line else {}
        result = expected.get("result") if isinstance(expected, dict) else None
        if isinstance(result, dict) and "mark_price" in result and "stats" in result:
            ticker = decode_as(TickerData, result_of("public/ticker", 200, line["raw"].encode())[0])
            assert number(ticker.mark_price) == result["mark_price"]
            seen += 1
    assert seen >= 2
