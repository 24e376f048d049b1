"""The table of what to do about every error and every end of a connection."""

import json
import re
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidProxyStatus, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from cryptomarket.deribit.connection_failures import EarlyCloses, MinimumPause, classify
from cryptomarket.deribit.error_codes import ERROR_CODES, Action, error_code
from cryptomarket.deribit.http_client import result_of
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from tests.recorded import recorded_folder

RETRYABLE = {10028, 10040, 10041, 10047, 10066, 11051, 11094, 13028, 13888}


def status(code: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(Response(code, "words", Headers(headers)))


def test_every_documented_code_has_a_action() -> None:
    """The table of the protocol notes beside the recordings is covered to the last code."""
    folder = recorded_folder()
    if folder is None:
        pytest.skip("no recordings of the exchange on this machine (set CRYPTOMARKET_RECORDED)")
    notes = (folder.parent / "PROTOCOL.md").read_text()
    table = notes[notes.index("| Code | message") :].split("\n\n")[0]
    codes = {int(c) for row in table.splitlines()[2:] for c in re.findall(r"-?\d{5}", row.split("|")[1])}
    assert len(codes) > 30
    assert codes <= ERROR_CODES.keys()


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_passing_errors_are_waited_out(code: int) -> None:
    """The codes other clients learned to retry."""
    assert error_code(code).action in (Action.RETRY, Action.SLOW_DOWN, Action.WAIT)


@pytest.mark.parametrize(
    ("code", "action"), [(13004, Action.STOP), (-32602, Action.GIVE_UP), (13009, Action.LOG_IN), (99999, Action.RETRY)]
)
def test_other_errors_are_not_repeated_blindly(code: int, action: Action) -> None:
    """A wrong secret needs a person, a wrong parameter a fix, a dead token a login; the unknown may pass."""
    assert error_code(code).action is action


@pytest.mark.parametrize(
    ("code", "action", "pause"),
    [
        (429, Action.SLOW_DOWN, MinimumPause.REFUSED),
        (503, Action.RETRY, MinimumPause.REFUSED),
        (502, Action.RETRY, MinimumPause.REFUSED),
        (401, Action.STOP, MinimumPause.STOPPED),
        (403, Action.STOP, MinimumPause.STOPPED),
        (302, Action.STOP, MinimumPause.STOPPED),
    ],
)
def test_an_http_status_is_met_rarely(code: int, action: Action, pause: MinimumPause) -> None:
    """Wait, wait, stop and say so, refuse: never more than six attempts a minute."""
    failure = classify(status(code))
    assert (failure.action, failure.pause) == (action, pause)


def test_retry_after_is_obeyed_within_reason() -> None:
    """What the exchange asks for, but not for ever."""
    assert classify(status(429, **{"Retry-After": "42"})).retry_after_seconds == 42
    assert classify(status(503, **{"Retry-After": "99999999"})).retry_after_seconds == 300
    assert classify(status(503, **{"Retry-After": "Wed, 21 Oct 2026"})).retry_after_seconds == 0


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012])
def test_closes_are_alike(code: int) -> None:
    """Deribit documents none: the connection is replaced."""
    rcvd = None if code == 1006 else Close(code, "")
    assert classify(ConnectionClosedError(rcvd, None)).action is Action.RETRY


@pytest.mark.parametrize(
    ("close", "says"),
    [
        (Close(1011, ""), "(1011): it failed, or heard no request of ours for too long"),
        (Close(4000, "heartbeat close"), "(4000): its test_request was not answered in time"),
        (Close(1000, "logout"), "(1000): a log-out ended it"),
    ],
)
def test_a_known_close_is_explained(close: Close, says: str) -> None:
    """What was learned of the codes is in the reason that operators read; the peer's own words are not."""
    failure = classify(ConnectionClosedError(close, None))
    assert failure.reason == f"the exchange closed the connection {says}"
    assert not failure.unexplained


def test_early_closes_in_a_row_ask_to_slow_down() -> None:
    """The second one does; a long life, or an end with a reason, begins anew."""
    broken, closes = classify(ConnectionClosedError(None, None)), EarlyCloses()
    assert closes.judge(broken, 3.0) is broken
    slowed = closes.judge(broken, 3.0)
    assert (slowed.action, slowed.pause) == (Action.SLOW_DOWN, MinimumPause.REFUSED)
    assert "perhaps too many requests" in slowed.reason
    assert closes.judge(broken, 3600.0) is broken
    assert closes.judge(broken, 3.0) is broken
    explained = classify(ConnectionClosedError(Close(1011, ""), None))
    assert closes.judge(explained, 3.0) is explained
    assert closes.judge(broken, 3.0) is broken


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ({"retry_after": 7}, 7.0),
        ({"retry_after_ms": 2500}, 2.5),
        ({"retry_after": 86_400}, 300.0),
        ({"retry_after": -1}, 0.0),
        ({"retry_after": "soon"}, 0.0),
        ("invalid json", 0.0),
        (None, 0.0),
    ],
)
def test_too_many_requests_may_say_how_long(data: object, seconds: float) -> None:
    """The wait that an error asks for is read in seconds or milliseconds, and bounded."""
    body = json.dumps({"error": {"code": 10028, "message": "too_many_requests", "data": data}}).encode()
    with pytest.raises(ExchangeRefused) as caught:
        result_of("public/get_time", 400, body)
    assert caught.value.retry_after == seconds
    assert classify(caught.value).retry_after_seconds == seconds


def test_maintenance_is_no_failure() -> None:
    """11051 and the settlement are called what they are."""
    assert classify(ExchangeRefused("public/hello", 11051, "system_maintenance")).action is Action.WAIT


@pytest.mark.parametrize(
    "error",
    [
        InvalidProxyStatus(Response(407, "words", Headers())),
        ConnectionRefusedError(111, "Connect call failed ('10.1.2.3', 8080)"),
        OSError("Multiple exceptions: [Errno 111] Connect call failed ('10.1.2.3', 8080)"),
        ssl.SSLCertVerificationError("certificate verify failed: 10.1.2.3"),
        TimeoutError("10.1.2.3"),
        ExchangeUnreachable("half-open"),
    ],
)
def test_no_reason_tells_an_address(error: Exception) -> None:
    """A proxy's address may be a secret; the log needs only what went wrong."""
    assert "10.1.2.3" not in classify(error).reason
