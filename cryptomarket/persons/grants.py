"""Requests a person's tokens of the exchange, with the same scope at the log-in and at each renewal.

A grant that may not read the account, or may do more than read, is never returned.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..deribit.auth import Grant, documented_scope, missing_rights, refuses_scope, session_scope, write_rights
from ..deribit.error_codes import error_code
from ..errors import CryptomarketError, ExchangeError, ExchangeRefused, ExchangeUnreachable
from .person import LIFE_SECONDS

__all__ = [
    "Call",
    "MissingRights",
    "WideGrant",
    "exchange_session",
    "login_ended",
    "person_scope",
    "renewed_grant",
    "request_grant",
]

#: A call over the one connection to the exchange: method and parameters in, raw result out; raises ExchangeError.
Call = Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]]


class MissingRights(CryptomarketError):
    """The key may not read the account."""


class WideGrant(CryptomarketError):
    """The exchange granted more than reading; ``str()`` names the rights.

    ``refresh_token`` is only for another renewal with the scope.
    """

    def __init__(self, rights: str, refresh_token: str) -> None:
        super().__init__(rights)
        self.refresh_token = refresh_token


def login_ended(error: ExchangeError) -> bool:
    """Whether the exchange no longer accepts the tokens that were sent."""
    return isinstance(error, ExchangeRefused) and error_code(error.code).ends_tokens


def exchange_session(session: str) -> str:
    """The name of the exchange session of a login from the browser session.

    The exchange keeps 16 of a key and ends the one longest without a refresh: never that of the newest login, whose
    tokens all browser sessions of the person share.
    """
    return f"cryptomarket-{session[:16]}"


def person_scope(name: str) -> str:
    """The scope that a person's log-in and every renewal request, in the exchange session of the name."""
    return session_scope(name, life_seconds=LIFE_SECONDS)


async def request_grant(call: Call, params: Mapping[str, Any]) -> Grant:
    """Return the grant. Raises ExchangeError, WideGrant and MissingRights.

    A scope that the exchange cannot read is replaced by its documented words: the signature does not cover the scope.
    """
    try:
        raw = await call("public/auth", params)
    except ExchangeRefused as exc:
        if not refuses_scope(exc.code, exc.reason):
            raise
        raw = await call("public/auth", {**params, "scope": documented_scope(str(params["scope"]))})
    try:
        grant = msgspec.json.decode(raw, type=Grant)
    except msgspec.DecodeError:
        raise ExchangeUnreachable("an unreadable reply to public/auth") from None
    if excess := write_rights(grant.scope):
        raise WideGrant(", ".join(excess), grant.refresh_token)
    if missing := missing_rights(grant.scope):
        raise MissingRights(", ".join(missing))
    return grant


async def renewed_grant(call: Call, name: str, refresh_token: str) -> Grant:
    """Return the grant that replaces the pair of the refresh token; raises as `request_grant`."""
    params = {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": person_scope(name)}
    return await request_grant(call, params)
