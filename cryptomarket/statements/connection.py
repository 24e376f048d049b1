"""How a connection begins, stays open and ends."""

from .sources import CONNECTIONS, HEARTBEAT, INFERRED, PROBE, PUBLIC_METHODS
from .statement import COINBASE_MAIN, DERIBIT, EVERY_HOST, ConfirmedBy, Statement

__all__ = [
    "ANY_TRAFFIC_PROVES_LIFE",
    "BAD_JSON_KEEPS_OPEN",
    "CLOSE_CODE",
    "FIRST_TEST_REQUEST_LATENESS",
    "HEARTBEAT_AT_FIRST",
    "HEARTBEAT_BESIDE_TEST",
    "HEARTBEAT_BY_HTTP",
    "HEARTBEAT_CLOSE_CODE",
    "HEARTBEAT_CLOSE_REASON",
    "HEARTBEAT_LATENESS",
    "HEARTBEAT_WHEN_BUSY",
    "HELLO_HAS_VERSION",
    "LOGOUT_ANSWERS",
    "LOGOUT_BY_HTTP",
    "QUIET_CLOSE_CODE",
    "QUIET_SECONDS",
    "QUIET_SUBSCRIBER_STAYS",
    "SHORTEST_HEARTBEAT",
    "SLASH_ACCEPTED",
    "TEST_HAS_VERSION",
    "TEST_REQUEST_SECONDS",
]

SLASH_ACCEPTED = Statement(
    "slash_accepted",
    "The WebSocket address with a slash at its end is served as well: {value}.",
    True,
    source="ssc2ce 0.14.4, an old client, dials it; its recordings of 2020 came over it",
    confirmed_by=ConfirmedBy.RECORDING,
)
HELLO_HAS_VERSION = Statement(
    "hello_has_version",
    "public/hello is answered with the version of the interface: {value}.",
    True,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=(DERIBIT, COINBASE_MAIN),
)
TEST_HAS_VERSION = Statement(
    "test_has_version",
    "public/test is answered with the version of the interface: {value}.",
    True,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
HEARTBEAT_AT_FIRST = Statement(
    "heartbeat_at_first",
    "A connection has heartbeats before it asks for them: {value}.",
    False,
    source=HEARTBEAT,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=EVERY_HOST,
)
SHORTEST_HEARTBEAT = Statement(
    "shortest_heartbeat",
    "The interval of heartbeats is at least {value} seconds.",
    10,
    source=HEARTBEAT,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
HEARTBEAT_BY_HTTP = Statement(
    "heartbeat_by_http",
    "Heartbeats can be asked for over HTTP: {value}.",
    False,
    source=HEARTBEAT,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
HEARTBEAT_LATENESS = Statement(
    "heartbeat_lateness",
    "Each test_request comes {value} seconds later than one interval after the one before.",
    0.6,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
FIRST_TEST_REQUEST_LATENESS = Statement(
    "first_test_request_lateness",
    "The first test_request comes {value} seconds later than one interval after the request for it.",
    2.3,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
HEARTBEAT_BESIDE_TEST = Statement(
    "heartbeat_beside_test",
    "A connection without subscriptions gets a frame heartbeat beside each test_request: {value}.",
    True,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
HEARTBEAT_WHEN_BUSY = Statement(
    "heartbeat_when_busy",
    "A connection with busy channels gets the frame heartbeat as well: {value}.",
    False,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
TEST_REQUEST_SECONDS = Statement(
    "test_request_seconds",
    "A test_request must be answered within {value} seconds, where 0 means one interval of heartbeats.",
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
HEARTBEAT_CLOSE_REASON = Statement(
    "heartbeat_close_reason",
    "The reason of that close is the text {value}.",
    "heartbeat close",
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=EVERY_HOST,
)
QUIET_SECONDS = Statement(
    "quiet_seconds",
    "A connection that neither asks nor subscribes is ended after {value} seconds.",
    60.5,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
QUIET_CLOSE_CODE = Statement(
    "quiet_close_code",
    "That end has no closing handshake, which counts as code {value}.",
    1006,
    source=PROBE,
    confirmed_by=ConfirmedBy.PROBE,
)
QUIET_SUBSCRIBER_STAYS = Statement(
    "quiet_subscriber_stays",
    "A connection with a subscription stays open without heartbeats: {value}.",
    True,
    source=f"{PROBE}: for 122 s",
    confirmed_by=ConfirmedBy.PROBE,
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
    source=f"{CONNECTIONS} does not say it",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(0, 1001, 1008, 1011, 1012, 4000),
)
LOGOUT_ANSWERS = Statement(
    "logout_answers",
    "private/logout is answered before the connection ends: {value}.",
    False,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
LOGOUT_BY_HTTP = Statement(
    "logout_by_http",
    "private/logout works over HTTP: {value}.",
    False,
    source=PUBLIC_METHODS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
