"""How a connection begins, stays open and ends."""

from .sources import HEARTBEAT, INFERRED, JSON_RPC, PROBE
from .statement import EVERY_HOST, ConfirmedBy, Statement

__all__ = [
    "ANY_TRAFFIC_PROVES_LIFE",
    "BAD_JSON_KEEPS_OPEN",
    "CLOSE_CODE",
    "HEARTBEAT_CLOSE_CODE",
    "SHORTEST_HEARTBEAT",
    "TEST_REQUEST_SECONDS",
]

SHORTEST_HEARTBEAT = Statement(
    "shortest_heartbeat",
    "The interval of heartbeats is at least {value} seconds.",
    10,
    source=HEARTBEAT,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
TEST_REQUEST_SECONDS = Statement(
    "test_request_seconds",
    "A test_request must be answered within {value} seconds; 0 stands for one interval of heartbeats.",
    0.0,
    source=f"{PROBE}: 10.0 s with an interval of 10; other intervals are not known",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(10.0,),
)
ANY_TRAFFIC_PROVES_LIFE = Statement(
    "any_traffic_proves_life",
    "Any request answers a test_request, not only public/test: {value}.",
    False,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(True,),
)
HEARTBEAT_CLOSE_CODE = Statement(
    "heartbeat_close_code",
    "A connection whose test_request stays unanswered is closed with code {value}.",
    4000,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
BAD_JSON_KEEPS_OPEN = Statement(
    "bad_json_keeps_open",
    "A connection stays open after a frame that is not JSON: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
CLOSE_CODE = Statement(
    "close_code",
    "A connection that the exchange ends after error 10028 or a log-out is closed with code {value}; "
    "0 stands for no closing handshake.",
    1000,
    source=f"{JSON_RPC} does not say it",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(0, 1001, 1008, 1011, 1012, 4000),
)
