"""Logging in with the application's own key: what is sent, what was granted, and when to renew it.

`client_signature` is preferred, because with it the secret never travels. Nothing here is sent by itself, and no
representation, log line or error of this module shows a secret or a token.
"""

import hashlib
import hmac
import random as random_module
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .messages import Grant

__all__ = [
    "APPLICATION_SCOPE",
    "ApplicationLogin",
    "Credentials",
    "GrantType",
    "Secret",
    "excess",
    "missing",
    "signature",
]

#: What the application asks for itself: better limits and raw channels, and nothing a thief could use.
APPLICATION_SCOPE = "account:read trade:none wallet:none block_trade:none"
#: Words the exchange adds by itself, which say nothing about rights.
_BOOKKEEPING = ("connection", "mainaccount", "session", "expires", "ip")
_RANK = {"none": 0, "read": 1, "read_write": 2}


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is never shown by accident; ``reveal()`` is for the one function that uses it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return "**********"

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self._text)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The application's API key: its public identifier and its secret."""

    client_id: str
    client_secret: Secret


class GrantType(StrEnum):
    """How to log in with a key."""

    SIGNATURE = "client_signature"
    CREDENTIALS = "client_credentials"


def signature(secret: str, timestamp: int, nonce: str, data: str = "") -> str:
    """HMAC-SHA256 over timestamp (ms), nonce and data, each but the last followed by a newline, also when empty."""
    return hmac.new(secret.encode(), f"{timestamp}\n{nonce}\n{data}".encode(), hashlib.sha256).hexdigest()


def missing(granted: str, wanted: str) -> list[str]:
    """The rights wanted but not granted: a key with a smaller maximum gives less without saying so."""
    have = _rights(granted)
    return sorted(
        f"{kind}:{level}" for kind, level in _rights(wanted).items() if _RANK[have.get(kind, "none")] < _RANK[level]
    )


def excess(granted: str, wanted: str) -> list[str]:
    """The rights granted beyond those wanted; kinds that were not mentioned count as not wanted."""
    want = _rights(wanted)
    return sorted(
        f"{kind}:{level}" for kind, level in _rights(granted).items() if _RANK[level] > _RANK[want.get(kind, "none")]
    )


def _rights(scope: str) -> dict[str, str]:
    words = (word.partition(":") for word in scope.split())
    return {
        kind: level if level in _RANK else "read_write"  # an unknown level is taken for the widest
        for kind, _, level in words
        if kind not in _BOOKKEEPING and level
    }


class ApplicationLogin:
    """The application's login over the life of the process: what to send next, and whether we are logged in.

    It survives connections, while the state ``authenticated`` dies with each. The session is named after this
    process alone: two clients with one session name invalidate each other's tokens.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        wall: Callable[[], float],
        random: Callable[[], float] = random_module.random,
        grant_type: GrantType = GrantType.SIGNATURE,
        scope: str = APPLICATION_SCOPE,
        nonce: Callable[[], str] = lambda: secrets.token_hex(8),
        retry_seconds: float = 10.0,
        longest_retry_seconds: float = 600.0,
    ) -> None:
        self.credentials = credentials
        self.grant_type = grant_type
        self.scope = scope
        self.session = f"cryptomarket-{nonce()}"
        self.authenticated = False
        self.granted_scope = ""
        self.trouble = ""
        self._wall = wall
        self._random = random
        self._nonce = nonce
        self._retry_seconds = retry_seconds
        self._longest_retry_seconds = longest_retry_seconds
        self._failures = 0
        self._refresh_token: Secret | None = None
        self._due: float | None = None
        self._asked = False

    def __repr__(self) -> str:
        state = "authenticated" if self.authenticated else "not authenticated"
        return f"<Login {state}>" if self.credentials else "<Login without credentials>"

    @property
    def degraded(self) -> bool:
        """Whether credentials were given and could not be used; public prices flow all the same."""
        return bool(self.trouble)

    def due(self, now: float) -> bool:
        """Whether to send ``public/auth`` now: at first, at 80 % of a token's life, or after a pause when it failed."""
        return self.credentials is not None and not self._asked and (self._due is None or now >= self._due)

    def asked(self) -> None:
        """``public/auth`` is on its way; nothing is due until it is answered."""
        self._asked = True

    def params(self) -> dict[str, Any]:
        """The parameters of ``public/auth``, made at the moment of sending, because a signature ages in 60 s."""
        assert self.credentials is not None  # noqa: S101 (due() said so)
        if self.authenticated and self._refresh_token:
            return {"grant_type": "refresh_token", "refresh_token": self._refresh_token.reveal()}
        scope = f"session:{self.session} {self.scope}"
        identity = {"client_id": self.credentials.client_id, "scope": scope}
        secret = self.credentials.client_secret
        if self.grant_type is GrantType.CREDENTIALS:
            return {"grant_type": "client_credentials", "client_secret": secret.reveal(), **identity}
        stamp, nonce = int(self._wall() * 1000), self._nonce()
        signed = {"timestamp": stamp, "nonce": nonce, "data": "", "signature": signature(secret.reveal(), stamp, nonce)}
        return {"grant_type": "client_signature", **identity, **signed}

    def granted(self, grant: Grant, now: float) -> list[str]:
        """The exchange gave tokens, to be renewed at 80 % of their life or before; returns what is odd about them."""
        self.authenticated, self.granted_scope, self._asked = True, grant.scope, False
        lacking = missing(grant.scope, self.scope)
        self.trouble = f"the key may not {', '.join(lacking)}" if lacking else ""
        self._failures = 0
        self._refresh_token = Secret(grant.refresh_token)
        life = grant.expires_in if grant.expires_in > 0 else 60.0
        self._due = now + life * (0.8 - 0.1 * self._random())
        wider = excess(grant.scope, self.scope)
        said = [f"the exchange granted more than we asked for: {', '.join(wider)}"] if wider else []
        return [self.trouble, *said] if self.trouble else said

    def failed(self, reason: str, now: float, *, hopeless: bool) -> None:
        """It did not work: a refresh is followed by a full login at once, a full login by a growing pause.

        ``hopeless`` is a key the exchange does not accept; too many failed logins lock accounts (12003).
        """
        refreshing, self._asked = self.authenticated and bool(self._refresh_token), False
        self._refresh_token = None
        if refreshing:
            self._due = now  # the login of this connection goes on until the token expires
            return
        self.authenticated = False
        self.trouble = reason
        self._failures += 1
        pause = min(self._retry_seconds * 2.0 ** min(self._failures, 20), self._longest_retry_seconds)
        self._due = now + (self._longest_retry_seconds if hopeless else pause) * (0.75 + 0.25 * self._random())

    def lost(self) -> None:
        """The connection is gone, and the login with it; a rejected key still waits for its pause."""
        if self.authenticated:
            self._due = None
        self.authenticated = self._asked = False

    def statistics(self) -> dict[str, object]:
        """What health shows: nothing secret."""
        return {
            "configured": self.credentials is not None,
            "authenticated": self.authenticated,
            "scope": self.granted_scope.split(),
            "trouble": self.trouble,
        }
