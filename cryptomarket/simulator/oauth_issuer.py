"""What Coinbase's OAuth2 server has issued: codes, access tokens and refresh tokens. It knows no HTTP.

https://docs.cdp.coinbase.com/coinbase-app/oauth2-integration/access-and-refresh-tokens
"""

import base64
import hashlib
import hmac
import random as random_module
from collections.abc import Callable
from dataclasses import dataclass, field

from ..statements.coinbase import COINBASE_OAUTH_EXPIRES_IN
from .switches import Switches

__all__ = ["Challenge", "Consent", "IssuedTokens", "OAuthIssuer", "OAuthRefusal"]

CODE_SECONDS = 600
#: A year and a half.
REFRESH_SECONDS = 47_304_000


class OAuthRefusal(Exception):
    """An error of RFC 6749, such as ``invalid_grant``; ``status`` is that of the token endpoint."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        self.error = error
        self.description = description
        self.status = status
        super().__init__(f"{error}: {description}")


@dataclass(slots=True, eq=False)
class Consent:
    """What a person allowed an application; ``ended`` when it was revoked, with all tokens made from it."""

    client_id: str
    account: str
    scope: tuple[str, ...]
    ended: bool = False

    @property
    def offline(self) -> bool:
        """Whether the application may have refresh tokens."""
        return "offline_access" in self.scope


@dataclass(frozen=True, slots=True)
class Challenge:
    """The PKCE challenge of an authorization request; an empty ``value`` needs no verifier."""

    value: str = ""
    method: str = "plain"

    def fits(self, verifier: str) -> bool:
        """Whether the challenge was made from the verifier."""
        if not self.value:
            return True
        digest = hashlib.sha256(verifier.encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() if self.method == "S256" else verifier
        return hmac.compare_digest(made.encode(), self.value.encode())


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A new access token, and a refresh token where the consent covers one; it is empty otherwise."""

    consent: Consent
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


@dataclass(slots=True, eq=False)
class _Token:
    """A code or token: it belongs to a consent, ends at a time, and was perhaps used."""

    consent: Consent
    expires_at: float
    redirect_uri: str = ""
    challenge: Challenge = field(default_factory=Challenge)
    spent: bool = False


class OAuthIssuer:
    """The codes and tokens of all persons; ``wall`` is UNIX seconds."""

    def __init__(self, wall: Callable[[], float], random: random_module.Random, switches: Switches) -> None:
        self._wall = wall
        self._random = random
        self._switches = switches
        self._codes: dict[str, _Token] = {}
        self._access: dict[str, _Token] = {}
        self._refresh: dict[str, _Token] = {}

    def code(self, consent: Consent, redirect_uri: str, challenge: Challenge) -> str:
        """Returns a code for the consent, to be redeemed once within ten minutes."""
        code = self._text()
        self._codes[code] = _Token(consent, self._wall() + CODE_SECONDS, redirect_uri, challenge)
        return code

    def redeem(self, client_id: str, code: str, redirect_uri: str, verifier: str) -> IssuedTokens:
        """Returns the tokens for a code; a code that is used twice ends what its first use began."""
        found = self._usable(self._codes, client_id, code)
        if found.redirect_uri != redirect_uri:
            raise OAuthRefusal("invalid_grant", "redirect_uri is not that of the authorization request")
        if not found.challenge.fits(verifier):
            raise OAuthRefusal("invalid_grant", "code_verifier does not fit the code_challenge")
        found.spent = True
        return self._issue(found.consent)

    def refresh(self, client_id: str, token: str) -> IssuedTokens:
        """Returns new tokens; the refresh token is good once. The status of a refusal is documented as 401."""
        try:
            found = self._usable(self._refresh, client_id, token)
        except OAuthRefusal as exc:
            exc.status = self._switches.coinbase_refresh_status
            raise
        found.spent = True
        return self._issue(found.consent)

    def consent_of(self, access: str) -> Consent | None:
        """Returns the consent behind an access token; None when it is unknown, expired or revoked."""
        found = self._access.get(access)
        if found is None or found.consent.ended or found.expires_at <= self._wall():
            return None
        return found.consent

    def end(self, token: str) -> None:
        """Ends the consent behind an access or a refresh token; an unknown one is ignored."""
        found = self._access.get(token) or self._refresh.get(token)
        if found is not None:
            found.consent.ended = True

    def revoke(self, account: str = "") -> None:
        """Ends the consents of an account, or all of them."""
        for token in (*self._codes.values(), *self._access.values(), *self._refresh.values()):
            token.consent.ended = token.consent.ended or account in ("", token.consent.account)

    def expire_all(self, seconds: float = 0.0) -> None:
        """Makes every access token expire in ``seconds``; refresh tokens stay valid."""
        for token in self._access.values():
            token.expires_at = min(token.expires_at, self._wall() + seconds)

    def _usable(self, tokens: dict[str, _Token], client_id: str, text: str) -> _Token:
        found = tokens.get(text)
        if found is not None and found.spent and self._switches.coinbase_reuse_revokes:
            found.consent.ended = True
        if found is None or found.spent or found.consent.ended or found.expires_at <= self._wall():
            raise OAuthRefusal("invalid_grant", "the code or token is invalid, expired, revoked or used")
        if found.consent.client_id != client_id:
            raise OAuthRefusal("invalid_grant", "the code or token belongs to another client")
        return found

    def _issue(self, consent: Consent) -> IssuedTokens:
        now, life = self._wall(), COINBASE_OAUTH_EXPIRES_IN.value
        access, refresh = self._text(), self._text() if consent.offline else ""
        self._access[access] = _Token(consent, now + life)
        if refresh:
            self._refresh[refresh] = _Token(consent, now + REFRESH_SECONDS)
        return IssuedTokens(consent, access, refresh, life)

    def _text(self) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(32)).rstrip(b"=").decode()
