"""Why some statements have no check."""

from typing import Any

from ..statements import Statement, channels, coinbase, limits

__all__ = ["NO_CHECK"]

_TOO_MANY = "it would take many expensive requests"
_COINBASE_KEY = "it needs a log-in at Coinbase, which verify does not do"
_EVENT = "it needs a listing or an expiry: add --for 26h"

#: Why a statement has no check in the run of some minutes.
NO_CHECK: dict[Statement[Any], str] = {
    limits.CREDITS_INSTRUMENTS: _TOO_MANY,
    limits.CREDITS_TRANSACTIONS: _TOO_MANY,
    channels.STATES_OF_2026: _EVENT,
    channels.INSTRUMENT_STATES: _EVENT,
    channels.CREATION_IS_INSTRUMENT: _EVENT,
    coinbase.COINBASE_HTTP_EXPIRES_IN: _COINBASE_KEY,
    coinbase.COINBASE_SOCKET_EXPIRES_IN: _COINBASE_KEY,
    coinbase.COINBASE_SOCKET_TOKEN: _COINBASE_KEY,
    coinbase.COINBASE_OAUTH_EXPIRES_IN: _COINBASE_KEY,
    coinbase.COINBASE_REFRESH_STATUS: _COINBASE_KEY,
    coinbase.COINBASE_REUSE_REVOKES: _COINBASE_KEY,
    coinbase.CDP_TOKEN_SECONDS: _COINBASE_KEY,
    coinbase.REFRESH_TOKEN_GIVEN: _COINBASE_KEY,
    coinbase.TOKENS_SHARED: _COINBASE_KEY,
    coinbase.LOGOUT_CLOSE_CODE: _COINBASE_KEY,
    coinbase.LOGOUT_CLOSE_REASON: _COINBASE_KEY,
}
