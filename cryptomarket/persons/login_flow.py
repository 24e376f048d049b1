"""The leader's part of a log-in: take the secret, sign with it, forget it, and learn who has come.

The secret is in memory for as long as a signature takes. What waits for the budget of the exchange is the signature,
which is good for a minute, and the secret itself never travels.
"""

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..errors import CryptomarketError, ExchangeError, ExchangeRefused
from .browser_sessions import LIFE_SECONDS, MOST_SESSIONS, BrowserSessions, Person, Tokens
from .cache import Cache
from .credential_middleware import CIPHERTEXT, KEY, SECRET_SECONDS
from .limits import Limits
from .vault import CannotOpen, Vault

__all__ = ["Call", "Grant", "LoginFailed", "LoginFlow", "reason_of", "too_wide"]

#: A call over the one connection to the exchange: the method, its parameters, the raw result.
Call = Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]]

#: All that is asked for, and nothing beside it is accepted.
SCOPE = "account:read wallet:none trade:none block_trade:none"
_READ = {"account:read", "account:none"}
_BOOKKEEPING = ("connection", "mainaccount", "session", "expires", "ip")

BAD_KEY = "the exchange does not accept this key: check the client id and the secret"
OUR_FAULT = "this server failed by an error of its own, which was logged: try again later"
NO_ANSWER = "the exchange did not answer in time: try again"
GONE = "the log-in took too long: try again"
NO_RIGHT = "this key may not read the account: give it the right account:read"
TOO_WIDE = "the exchange granted more than reading, so nothing was kept: use a key with fewer rights"
#: What a person can do about an error of the exchange. An unknown id and a wrong secret read alike.
REASONS = {
    13004: BAD_KEY,
    13007: BAD_KEY,
    13009: BAD_KEY,
    12003: "too many log-ins with this key: wait some minutes",
    12998: "too many log-ins with this key: wait some minutes",
    11098: "the exchange has locked this account",
    11042: NO_RIGHT,
    13021: NO_RIGHT,
    13403: NO_RIGHT,
    10041: "the exchange is busy with its settlement: try again in a minute",
    11051: "the exchange is under maintenance: try again later",
}


class LoginFailed(CryptomarketError):
    """A log-in that came to nothing; ``str()`` is the sentence for the person."""


class Grant(msgspec.Struct, frozen=True):
    """What ``public/auth`` answers."""

    access_token: str
    refresh_token: str
    expires_in: float
    scope: str

    def __repr__(self) -> str:
        return "<Grant>"


class _Identity(msgspec.Struct):
    """Of ``private/get_account_summary`` with ``extended``."""

    id: int | str
    username: str | None = None
    email: str | None = None
    system_name: str | None = None


def too_wide(scope: str) -> bool:
    """Whether a scope allows more than reading the account."""
    words = {word for word in scope.split() if word.partition(":")[0] not in _BOOKKEEPING}
    return any(not word.endswith(":none") for word in words - _READ)


def reason_of(error: ExchangeError) -> str:
    """The sentence for the person."""
    if isinstance(error, ExchangeRefused):
        return REASONS.get(error.code, f"the exchange refused ({error.code}): try again later")
    return NO_ANSWER


class LoginFlow:
    """Logs persons in; ``call`` reaches the exchange."""

    def __init__(
        self,
        call: Call,
        cache: Cache,
        vault: Vault,
        sessions: BrowserSessions,
        limits: Limits,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._call = call
        self._cache = cache
        self._vault = vault
        self._sessions = sessions
        self._limits = limits
        self._wall = wall

    async def log_in(self, login: str, session: str, who: str) -> Person:
        """The person of a log-in, bound to the browser session; raises Failed with a sentence for the person.

        Raises CacheUnavailable when Redis is not there.
        """
        params = await self._signed(login, session)
        try:
            grant = await self._granted(params)
            identity = await self._identity(grant)
        except ExchangeError as exc:
            if isinstance(exc, ExchangeRefused) and REASONS.get(exc.code) == BAD_KEY:
                await self._limits.failed(who)
            raise LoginFailed(reason_of(exc)) from None
        return await self._enter(grant, identity, session, login)

    async def _signed(self, login: str, session: str) -> dict[str, Any]:
        """Take the secret out of the cache, and make of it the parameters of the call; from here on it is gone."""
        ciphertext = await self._cache.take(CIPHERTEXT % login)
        record = await self._cache.take(KEY % login)
        if ciphertext is None or record is None:
            raise LoginFailed(GONE)
        try:
            client_id, key = msgspec.json.decode(self._vault.open(KEY % login, record), type=tuple[str, bytes])
            secret = self._vault.open_secret(ciphertext, key, seconds=SECRET_SECONDS)
        except (CannotOpen, msgspec.DecodeError):
            raise LoginFailed(GONE) from None
        stamp, nonce = int(self._wall() * 1000), secrets.token_hex(8)
        try:
            signature = hmac.digest(secret, f"{stamp}\n{nonce}\n".encode(), "sha256").hex()
        finally:
            secret[:] = bytes(len(secret))
        return {
            "grant_type": "client_signature",
            "client_id": client_id,
            "timestamp": stamp,
            "nonce": nonce,
            "data": "",
            "signature": signature,
            # One session of the exchange a browser: who logs in again replaces it instead of using up the key's 16.
            "scope": f"session:cryptomarket-{session[:16]} {SCOPE} expires:{LIFE_SECONDS}",
        }

    async def _granted(self, params: Mapping[str, Any]) -> Grant:
        raw = await self._call("public/auth", params)
        try:
            grant = msgspec.json.decode(raw, type=Grant)
        except msgspec.DecodeError:
            raise LoginFailed(NO_ANSWER) from None
        if too_wide(grant.scope):
            raise LoginFailed(TOO_WIDE)
        if "account:read" not in grant.scope.split():
            raise LoginFailed(NO_RIGHT)
        return grant

    async def _identity(self, grant: Grant) -> _Identity:
        asked = {"currency": "BTC", "extended": True, "access_token": grant.access_token}
        raw = await self._call("private/get_account_summary", asked)
        try:
            return msgspec.json.decode(raw, type=_Identity)
        except msgspec.DecodeError:
            raise LoginFailed(NO_ANSWER) from None

    async def _enter(self, grant: Grant, identity: _Identity, session: str, login: str) -> Person:
        person_id, now = str(identity.id), int(self._wall())
        async with self._sessions.writing:
            (before,) = await self._sessions.of_sessions([session])
            known = await self._sessions.person(person_id)
            others = [one for one in (known.sessions if known else {}) if one != session]
            sessions = {one: known.sessions[one] for one in others[-(MOST_SESSIONS - 1) :]} if known else {}
            person = Person(
                person_id,
                identity.username or identity.system_name or person_id,
                identity.email or "",
                grant.scope,
                expires_at=now + int(min(grant.expires_in, LIFE_SECONDS)),
                issued=now,
                first=known.first if known else now,
                tokens=Tokens(grant.access_token, grant.refresh_token),
                sessions={**sessions, session: login},
            )
            await self._sessions.write(person)
            await self._sessions.bind(session, person_id)
            if before is not None and before.person_id != person_id:
                await self._sessions.leave(before, session)
        return person
