"""What is different at the hosts of Coinbase."""

from .sources import COINBASE_OAUTH, COINBASE_PARTNERS, COINBASE_SDK, INFERRED
from .statement import COINBASE, COINBASE_MAIN, ConfirmedBy, Statement

__all__ = [
    "COINBASE_HTTP_EXPIRES_IN",
    "COINBASE_OAUTH_EXPIRES_IN",
    "COINBASE_REFRESH_STATUS",
    "COINBASE_REJECTED_CODE",
    "COINBASE_REUSE_REVOKES",
    "COINBASE_SILENCE_SECONDS",
    "COINBASE_SOCKET_EXPIRES_IN",
    "COINBASE_SOCKET_TOKEN",
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
