"""Persons who come by Coinbase: no secret of theirs reaches us. A code becomes OAuth tokens, these become a bearer.

The bearer is for calls and lives for minutes. It is requested anew with the OAuth access token, which lives for an
hour and is replaced with the single-use refresh token.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..deribit.auth import Life, OAuthGrant, wipe
from ..deribit.coinbase import OAUTH_GRANT, rights_beyond_reading
from ..errors import ExchangeError, ExchangeUnreachable, LoginServerRefused
from .grants import Call, MissingRights, WideGrant, login_ended
from .person import Person
from .person_door import Granted, Sentences
from .tokens import OAuthTokens, Tokens

__all__ = ["COINBASE_DOOR", "CoinbaseDoor", "LoginCode", "LoginServer"]

#: The name of this door in the records of persons.
COINBASE_DOOR = "coinbase"
#: The share of an OAuth access token's life after which it is replaced.
REFRESH_SHARE = 0.8


class LoginCode(msgspec.Struct, frozen=True):
    """What a log-in at Coinbase ended with: proof enough for tokens, once. Its representation shows nothing."""

    code: str
    verifier: str
    redirect_uri: str

    def __repr__(self) -> str:
        return "<LoginCode>"


class LoginServer(Protocol):
    """The login server's token endpoint; every method raises LoginServerRefused and ExchangeUnreachable."""

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> OAuthGrant: ...

    async def refresh(self, refresh_token: str) -> OAuthGrant: ...

    async def revoke(self, access_token: str) -> None: ...


class _Bearer(msgspec.Struct, frozen=True):
    """The answer of ``public/auth`` over HTTP; there is no refresh token."""

    access_token: str
    expires_in: Life
    scope: str = ""

    def __repr__(self) -> str:
        return f"<_Bearer expires_in={self.expires_in:.0f}>"


class CoinbaseDoor:
    """See PersonDoor."""

    prefix = "coinbase-"
    currency = "USDC"
    sentences = Sentences(
        "Coinbase does not let this site read the account: log in again and allow it",
        "Coinbase granted more than reading, so nothing was kept: tell the operator of this site",
        "Coinbase did not accept this log-in: log in again",
    )

    def __init__(self, call: Call, login_server: LoginServer, *, wall: Callable[[], float] = time.time) -> None:
        self.call = call
        self._login_server = login_server
        self._wall = wall

    async def log_in(self, client_id: str, secret: bytearray, session: str) -> Granted:
        """See PersonDoor; the secret is an encoded `LoginCode`."""
        try:
            code = msgspec.json.decode(secret, type=LoginCode)
        finally:
            wipe(secret)
        grant = await self._login_server.exchange(code.code, code.verifier, code.redirect_uri)
        try:
            if not grant.refresh_token:  # an hour later the login would end without a word
                raise MissingRights("offline_access")
            return await self._granted(self._kept(grant))
        except (MissingRights, WideGrant):
            with contextlib.suppress(ExchangeError):  # it expires
                await self._login_server.revoke(grant.access_token)
            raise

    def refresh_due(self, tokens: Tokens) -> bool:
        """See PersonDoor."""
        oauth = tokens.oauth
        return oauth is None or oauth.issued + REFRESH_SHARE * (oauth.expires_at - oauth.issued) <= self._wall()

    async def refreshed(self, tokens: Tokens) -> Tokens:
        """See PersonDoor."""
        if tokens.oauth is None:
            raise LoginServerRefused("token", "invalid_grant")
        grant = await self._login_server.refresh(tokens.oauth.refresh)
        return Tokens(tokens.access, "", self._kept(grant, before=tokens.oauth.refresh))

    def ends(self, error: ExchangeError) -> bool:
        """See PersonDoor. Of a refusal of this application alone no person is logged out."""
        return error.word == "invalid_grant" if isinstance(error, LoginServerRefused) else login_ended(error)

    async def renewed(self, person: Person) -> Granted:
        """See PersonDoor."""
        if person.tokens.oauth is None:
            raise LoginServerRefused("token", "invalid_grant")
        return await self._granted(person.tokens.oauth)

    def _kept(self, grant: OAuthGrant, before: str = "") -> OAuthTokens:
        """The tokens of the answer; a server that gives no new refresh token lets the one before live."""
        if excess := rights_beyond_reading(grant.scope):
            raise WideGrant(", ".join(excess), "")
        now = self._wall()
        return OAuthTokens(grant.access_token, grant.refresh_token or before, now, now + grant.expires_in)

    async def _granted(self, oauth: OAuthTokens) -> Granted:
        """The bearer for calls. Raises ExchangeError and WideGrant."""
        raw = await self.call("public/auth", {"grant_type": OAUTH_GRANT, "token": oauth.access})
        try:
            bearer = msgspec.json.decode(raw, type=_Bearer)
        except msgspec.DecodeError:
            raise ExchangeUnreachable("an unreadable reply to public/auth") from None
        if excess := rights_beyond_reading(bearer.scope):
            raise WideGrant(", ".join(excess), "")
        return Granted(Tokens(bearer.access_token, "", oauth), bearer.scope, bearer.expires_in)
