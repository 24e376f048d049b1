"""A log-in at Coinbase from its begin to the return of the browser, on any node: state, proof key, redirect.

The state is a random word that only the browser which began has, once, for ten minutes. What it stands for is sealed
in the cache: the browser session, the verifier of the proof key (RFC 7636), and the address to return to.
"""

import hmac
import secrets
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from ..deribit.coinbase import COINBASE_SCOPE, challenge
from ..deribit.doors import OAuth
from .cache import Cache
from .coinbase_door import LoginCode
from .login_secrets import PREFIX
from .vault import CannotOpen, Vault, fingerprint

__all__ = ["BEGUN_SECONDS", "CALLBACK_PATH", "CoinbaseLogin"]

#: Where Coinbase sends the browser back to; the operator registers the address there.
CALLBACK_PATH = "/api/v1/persons/coinbase/callback"
#: How long a person may take at Coinbase.
BEGUN_SECONDS = 600
BEGUN = f"{PREFIX}%s:begun"
#: Codes of Coinbase have fewer letters.
MOST_LETTERS = 2_048


class _Begun(msgspec.Struct, frozen=True):
    session: str
    verifier: str
    redirect_uri: str

    def __repr__(self) -> str:
        return "<_Begun>"


class CoinbaseLogin:
    """Begins and ends log-ins for the application of the client id. Raises CacheUnavailable."""

    def __init__(self, cache: Cache, vault: Vault, server: OAuth, client_id: str) -> None:
        self._cache = cache
        self._vault = vault
        self._server = server
        self._client_id = client_id

    @property
    def authorize_url(self) -> str:
        """The page of Coinbase where a person consents."""
        return self._server.authorize_url

    async def begin(self, session: str, origin: str) -> str:
        """Return the address to send the browser session to; ``origin`` is that of this site in browsers."""
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        begun = _Begun(session, verifier, origin + CALLBACK_PATH)
        name = BEGUN % fingerprint(state)
        await self._cache.put(name, self._vault.seal(name, msgspec.json.encode(begun)), BEGUN_SECONDS)
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": begun.redirect_uri,
            "scope": COINBASE_SCOPE,
            "state": state,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._server.authorize_url}?{urlencode(query)}"

    async def end(self, states: Sequence[str], codes: Sequence[str], session: str | None) -> LoginCode | None:
        """Return what the browser came back with, ``code`` empty where Coinbase gave none; the state is used up.

        None unless this browser session began with the state, once, and not too long ago.
        """
        if len(states) != 1 or len(codes) > 1 or max(map(len, (*states, *codes))) > MOST_LETTERS:
            return None
        name = BEGUN % fingerprint(states[0])
        record = await self._cache.take(name)
        if record is None or session is None:
            return None
        try:
            begun = msgspec.json.decode(self._vault.open(name, record), type=_Begun)
        except (CannotOpen, msgspec.DecodeError):
            return None
        if not hmac.compare_digest(begun.session, session):
            return None
        return LoginCode("".join(codes), begun.verifier, begun.redirect_uri)
