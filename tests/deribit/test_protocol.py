"""The conversation without a connection: texts in, events out."""

import json

import pytest

from cryptomarket.deribit.protocol import (
    TRANSITIONS,
    ConnectionState,
    ErrorReply,
    Expired,
    Heartbeat,
    IllegalTransition,
    Lost,
    Notified,
    Protocol,
    Purpose,
    Result,
    Step,
    Undecodable,
    UnsafeCall,
    Unsolicited,
)
from tests.recorded import recorded_lines


def test_an_answer_finds_its_request() -> None:
    """Answers come in any order and are matched by id."""
    protocol = Protocol()
    first, _ = protocol.request("public/get_time", {}, Purpose.CALL, 0.0)
    second, text = protocol.request("public/test", {}, Purpose.CALL, 0.0)
    assert json.loads(text) == {"jsonrpc": "2.0", "id": second.id, "method": "public/test", "params": {}}
    (event,) = protocol.receive(f'{{"jsonrpc":"2.0","id":{second.id},"result":{{"version":"1"}}}}', 0.0)
    assert isinstance(event, Result)
    assert event.request is second
    (event,) = protocol.receive(f'{{"jsonrpc":"2.0","id":{first.id},"result":17}}', 0.0)
    assert isinstance(event, Result)
    assert bytes(event.result) == b"17"


def test_an_error_finds_its_request() -> None:
    """The parameter and the reason come with it."""
    protocol = Protocol()
    request, _ = protocol.request("public/ticker", {}, Purpose.CALL, 0.0)
    error = '{"code":-32602,"message":"Invalid params","data":{"reason":"wrong format","param":"instrument_name"}}'
    events = protocol.receive(f'{{"jsonrpc":"2.0","id":{request.id},"error":{error}}}', 0.0)
    assert events == [ErrorReply(request, -32602, "Invalid params", "instrument_name wrong format")]


@pytest.mark.parametrize("error", ['"no"', "null", "[1]", '{"code":"x"}', '{"code":1,"message":null}'])
def test_an_error_in_any_shape_ends_its_request(error: str) -> None:
    """Its caller must not wait for ever."""
    protocol = Protocol()
    request, _ = protocol.request("public/test", {}, Purpose.CALL, 0.0)
    (event,) = protocol.receive(f'{{"jsonrpc":"2.0","id":{request.id},"error":{error}}}', 0.0)
    assert isinstance(event, ErrorReply)
    assert event.request is request


def test_an_error_without_id_is_no_crash() -> None:
    """What an unreadable or an oversized frame is answered with."""
    text = (
        '{"jsonrpc":"2.0","error":{"message":"bad_request","code":11050},"usIn":1,"usOut":2,"usDiff":1,"testnet":true}'
    )
    assert Protocol().receive(text, 0.0) == [ErrorReply(None, 11050, "bad_request")]


def test_a_test_request_is_answered_at_once_and_once() -> None:
    """The reply lies ready as soon as the frame is read, in the key order that was recorded."""
    protocol = Protocol()
    text = '{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}'
    assert protocol.receive(text, 0.0) == [Heartbeat(is_test_request=True)]
    (reply,) = protocol.replies()
    assert json.loads(reply)["method"] == "public/test"
    assert protocol.replies() == []


def test_a_heartbeat_needs_no_reply() -> None:
    """The other kind of heartbeat needs no reply."""
    protocol = Protocol()
    text = '{"params":{"type":"heartbeat"},"method":"heartbeat","jsonrpc":"2.0"}'
    assert protocol.receive(text, 0.0) == [Heartbeat(is_test_request=False)]
    assert protocol.replies() == []


@pytest.mark.parametrize("id", ["7", '"nfm000100000001"', "9999999999999999999"])
def test_an_answer_to_nothing_is_a_stray(id: str) -> None:  # noqa: A002
    """Late answers and answers to others change nothing."""
    (event,) = Protocol().receive(f'{{"jsonrpc":"2.0","id":{id},"result":"ok"}}', 0.0)
    assert isinstance(event, Unsolicited | Undecodable)


def test_a_request_expires_once() -> None:
    """At its deadline and not before; its late answer is unsolicited."""
    protocol = Protocol(answer_seconds=30)
    request, _ = protocol.request("public/test", {}, Purpose.CALL, 100.0)
    assert protocol.expire(129.0) == []
    assert protocol.expire(130.0) == [Expired(request)]
    assert protocol.expire(131.0) == []
    assert protocol.receive(f'{{"jsonrpc":"2.0","id":{request.id},"result":1}}', 131.0) == [Unsolicited(request.id)]


def test_closing_loses_what_waits() -> None:
    """No request is left unanswered for ever, and none can be made any more."""
    protocol = Protocol()
    request, _ = protocol.request("public/test", {}, Purpose.CALL, 0.0)
    assert protocol.close() == [Lost(request)]
    with pytest.raises(IllegalTransition):
        protocol.request("public/test", {}, Purpose.CALL, 0.0)


def test_an_impossible_move_names_state_and_step() -> None:
    """A wrong order of steps is a bug, and the error names state and step."""
    with pytest.raises(IllegalTransition, match="cannot stream while open"):
        Protocol().move(Step.STREAM)


def test_every_state_is_reachable_and_can_close() -> None:
    """The table has no dead corner."""
    assert set(TRANSITIONS.values()) == set(ConnectionState) - {ConnectionState.OPEN}
    assert all((state, Step.CLOSE) in TRANSITIONS for state in ConnectionState)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("private/get_positions", {}),
        ("private/get_positions", {"access_token": ""}),
        ("private/logout", {"access_token": "x"}),
    ],
)
def test_refuses_what_would_act_for_everybody(method: str, params: dict[str, str]) -> None:
    """A private call without a token runs as the person who logged in last; logout closes the connection for all."""
    with pytest.raises(UnsafeCall):
        Protocol().request(method, params, Purpose.CALL, 0.0)


def test_a_request_shows_no_parameters() -> None:
    """They may hold tokens."""
    request, _ = Protocol().request("private/x", {"access_token": "hush"}, Purpose.CALL, 0.0)
    assert "hush" not in repr(request)


def test_every_recorded_frame_is_understood() -> None:
    """Each is an answer, an error, a heartbeat or a notification: none is undecodable."""
    seen = set()
    for line in recorded_lines():
        if line["direction"] == "in" and "part" not in line and line.get("transport") != "http" and "url" not in line:
            protocol = Protocol()
            (event,) = protocol.receive(line["raw"], 0.0)
            # Recordings of HTTP that are not marked as such hold answers without an id.
            if isinstance(event, Undecodable):
                assert '"id"' not in line["raw"]
                continue
            seen.add(type(event))
    assert {Notified, Heartbeat, Unsolicited} <= seen
