"""What is different at the hosts of Coinbase."""

from .sources import COINBASE_OAUTH, COINBASE_PARTNERS, COINBASE_PROBE, COINBASE_SDK, COINBASE_WEBSOCKET, INFERRED
from .statement import COINBASE, COINBASE_MAIN, COINBASE_STREAMS, ConfirmedBy, Statement

__all__ = [
    "CDP_TOKEN_SECONDS",
    "COINBASE_HTTP_EXPIRES_IN",
    "COINBASE_OAUTH_EXPIRES_IN",
    "COINBASE_REFRESH_STATUS",
    "COINBASE_REJECTED_CODE",
    "COINBASE_REUSE_REVOKES",
    "COINBASE_SILENCE_CODE",
    "COINBASE_SILENCE_SECONDS",
    "COINBASE_SOCKET_EXPIRES_IN",
    "COINBASE_SOCKET_TOKEN",
    "LOGOUT_CLOSE_CODE",
    "LOGOUT_CLOSE_REASON",
    "MAIN_SUBSCRIBE_CODE",
    "MAIN_SUBSCRIBE_MESSAGE",
    "REFRESH_TOKEN_GIVEN",
    "STREAMS_ANSWERS_CALLS",
    "STREAMS_ANSWERS_HELLO",
    "STREAMS_PRIVATE",
    "STREAMS_RAW",
    "TOKENS_SHARED",
]

COINBASE_SILENCE_SECONDS = Statement(
    "coinbase_silence_seconds",
    "A connection to which the client sends no message for {value} seconds is closed with code 1011, pings or not; "
    "0 stands for never.",
    30.0,
    source="ccxt 4.5 sends public/test every 15 s for this reason; no page of Coinbase says it",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=COINBASE,
    others=(0.0,),
)
COINBASE_HTTP_EXPIRES_IN = Statement(
    "coinbase_http_expires_in",
    "A token for HTTP lives {value} seconds.",
    900,
    source=f"{COINBASE_PARTNERS} says about 15 minutes, an example of public/auth 3600 seconds",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(3600,),
)
COINBASE_SOCKET_EXPIRES_IN = Statement(
    "coinbase_socket_expires_in",
    "A login over WebSocket lives {value} seconds.",
    3000,
    source=f"{COINBASE_PARTNERS} says about 50 minutes, the tests of {COINBASE_SDK} have 900 seconds",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(900,),
)
COINBASE_SOCKET_TOKEN = Statement(
    "coinbase_socket_token",
    "The answer to a login over WebSocket has an access token: {value}.",
    False,
    source=f"{COINBASE_PARTNERS} says that it has none, the reference of public/auth that calls need one",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(True,),
)
COINBASE_REJECTED_CODE = Statement(
    "coinbase_rejected_code",
    "A login with a token that is wrong or expired is answered with {value}.",
    13004,
    source=f"{COINBASE_SDK} treats 13004 and 13009 as such",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(13009,),
)
COINBASE_OAUTH_EXPIRES_IN = Statement(
    "coinbase_oauth_expires_in",
    "An OAuth2 access token of Coinbase lives {value} seconds.",
    3600,
    source=COINBASE_OAUTH,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
COINBASE_REFRESH_STATUS = Statement(
    "coinbase_refresh_status",
    "A refresh with a token that is wrong, used or revoked has the HTTP status {value}.",
    401,
    source=f"{COINBASE_OAUTH} says 401, RFC 6749 says 400",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(400,),
)
COINBASE_REUSE_REVOKES = Statement(
    "coinbase_reuse_revokes",
    "A refresh token that is used a second time ends every token of its log-in: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=(COINBASE_MAIN,),
    others=(False,),
)
COINBASE_SILENCE_CODE = Statement(
    "coinbase_silence_code",
    "That close has the code {value}.",
    1011,
    source="ccxt 4.5",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=COINBASE,
)
STREAMS_ANSWERS_CALLS = Statement(
    "streams_answers_calls",
    "The host of market data answers calls such as public/get_time: {value}.",
    False,
    source=COINBASE_WEBSOCKET,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_STREAMS,),
)
STREAMS_ANSWERS_HELLO = Statement(
    "streams_answers_hello",
    "The host of market data answers public/hello: {value}.",
    False,
    source=f"{COINBASE_WEBSOCKET} calls it subscription-only",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_STREAMS,),
)
STREAMS_RAW = Statement(
    "streams_raw",
    "The host of market data has raw channels: {value}.",
    False,
    source=COINBASE_WEBSOCKET,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_STREAMS,),
)
STREAMS_PRIVATE = Statement(
    "streams_private",
    "The host of market data accepts the channels user.*: {value}.",
    False,
    source=COINBASE_SDK,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_STREAMS,),
)
MAIN_SUBSCRIBE_CODE = Statement(
    "main_subscribe_code",
    "The host of private calls answers public/subscribe with {value}.",
    -32601,
    source=COINBASE_PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=(COINBASE_MAIN,),
)
MAIN_SUBSCRIBE_MESSAGE = Statement(
    "main_subscribe_message",
    "The message of that error is the text {value}.",
    "method not in allowlist",
    source=COINBASE_PROBE,
    confirmed_by=ConfirmedBy.PROBE,
    hosts=(COINBASE_MAIN,),
)
CDP_TOKEN_SECONDS = Statement(
    "cdp_token_seconds",
    "A signed token of a CDP key lives {value} seconds.",
    120,
    source=COINBASE_SDK,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
REFRESH_TOKEN_GIVEN = Statement(
    "refresh_token_given",
    "The answer to a login has a refresh token: {value}.",
    False,
    source=COINBASE_PARTNERS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
TOKENS_SHARED = Statement(
    "tokens_shared",
    "A token for HTTP logs in a WebSocket, or the other way round: {value}.",
    False,
    source=COINBASE_PARTNERS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
LOGOUT_CLOSE_CODE = Statement(
    "logout_close_code",
    "After private/logout the connection is closed with code {value}.",
    1000,
    source=COINBASE_SDK,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
LOGOUT_CLOSE_REASON = Statement(
    "logout_close_reason",
    "The reason of that close is the text {value}.",
    "logout",
    source=COINBASE_SDK,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(COINBASE_MAIN,),
)
