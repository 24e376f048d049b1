"""The leader's part of a log-in: take the secret, sign with it, forget it, and learn who has come.

The secret is in memory for as long as a signature takes. What waits for the budget of the exchange is the signature,
which is good for a minute, and the secret itself never travels.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from ..deribit.auth import READ_ONLY_SCOPE, Grant, excess_rights, missing_rights, signed_params, wipe
from ..deribit.error_codes import error_code
from ..errors import CryptomarketError, ExchangeError, ExchangeRefused
from .browser_sessions import LIFE_SECONDS, MOST_SESSIONS, BrowserSessions, Person, Tokens
from .cache import Cache
from .credential_middleware import CIPHERTEXT, KEY, SECRET_SECONDS
from .limits import Limits
from .vault import CannotOpen, Vault

__all__ = ["Call", "LoginFailed", "LoginFlow", "reason_of"]

#: A call over the one connection to the exchange: the method, its parameters, the raw result.
Call = Callable[[str, Mapping[str, Any]], Awaitable[msgspec.Raw]]

OUR_FAULT = "this server failed by an error of its own, which was logged: try again later"
NO_ANSWER = "the exchange did not answer in time: try again"
GONE = "the log-in took too long: try again"
NO_RIGHT = "this key may not read the account: give it the right account:read"
TOO_WIDE = "the exchange granted more than reading, so nothing was kept: use a key with fewer rights"


class LoginFailed(CryptomarketError):
    """A log-in that came to nothing; ``str()`` is the sentence for the person."""


class _Identity(msgspec.Struct):
    """Of ``private/get_account_summary`` with ``extended``."""

    id: int | str
    username: str | None = None
    email: str | None = None
    system_name: str | None = None


def reason_of(error: ExchangeError) -> str:
    """The sentence for the person."""
    if isinstance(error, ExchangeRefused):
        return error_code(error.code).sentence
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
            if isinstance(exc, ExchangeRefused) and error_code(exc.code).wrong_key:
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
        # One exchange session a browser: a login that is repeated replaces it instead of using up the key's 16.
        scope = f"session:cryptomarket-{session[:16]} {READ_ONLY_SCOPE} expires:{LIFE_SECONDS}"
        timestamp, nonce = int(self._wall() * 1000), secrets.token_hex(8)
        try:
            return signed_params(client_id, secret, scope, timestamp=timestamp, nonce=nonce)
        finally:
            wipe(secret)

    async def _granted(self, params: Mapping[str, Any]) -> Grant:
        raw = await self._call("public/auth", params)
        try:
            grant = msgspec.json.decode(raw, type=Grant)
        except msgspec.DecodeError:
            raise LoginFailed(NO_ANSWER) from None
        if excess_rights(grant.scope, READ_ONLY_SCOPE):
            raise LoginFailed(TOO_WIDE)
        if missing_rights(grant.scope, READ_ONLY_SCOPE):
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
