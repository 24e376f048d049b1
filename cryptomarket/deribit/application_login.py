"""The login of the application's own key: what to send, what was granted, and when to renew it.

`client_signature` is the default, because it never sends the secret. Nothing here sends anything itself.
"""

import random as random_module
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..backoff import doubled
from ..errors import ExchangeRefused
from .auth import (
    SIGNATURE_SECONDS,
    Credentials,
    Grant,
    GrantType,
    Secret,
    documented_scope,
    is_private_key,
    missing_rights,
    refuses_scope,
    session_scope,
    signed_params,
    write_rights,
)
from .error_codes import METHOD_NOT_FOUND, Action, error_code

__all__ = ["ApplicationLogin", "LoginStatistics"]


#: Tokens are renewed at least this often: the exchange ends the session that has gone longest without a renewal, and a
#: renewal that it refuses tells that ours was ended.
LONGEST_RENEWAL_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class LoginStatistics:
    """The state of the application's login; it contains no secret."""

    configured: bool
    authenticated: bool
    scope: list[str]
    trouble: str
    losses: int  # logins that the exchange ended while they were used


def _with_advice(error: ExchangeRefused) -> str:
    """The refusal of a login, with the setting that may be wrong."""
    if error_code(error.code).wrong_key:
        return f"{error}; a key is valid at one door alone, see CRYPTOMARKET_EXCHANGE"
    if error.code == METHOD_NOT_FOUND:
        return f"{error}; this host takes no key, see CRYPTOMARKET_EXCHANGE"
    return str(error)


class ApplicationLogin:
    """The login over all connections of the process; without credentials none is ever due.

    ``exchange_time`` returns UNIX seconds by the exchange's clock. ``exchange_session`` is the name of the session that
    the tokens belong to: a login ends the tokens of the one before in the session, and the exchange keeps 16 of a key.
    It must therefore be the same at each start, and another for each program that uses the key.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        exchange_time: Callable[[], float],
        exchange_session: str = "cryptomarket",
        random: Callable[[], float] = random_module.random,
        grant_type: GrantType = GrantType.SIGNATURE,
        nonce: Callable[[], str] = lambda: secrets.token_hex(8),
        retry_seconds: float = 10.0,
        longest_retry_seconds: float = 600.0,
    ) -> None:
        self.credentials = credentials
        self.grant_type = grant_type
        self.exchange_session = exchange_session
        self.scope = session_scope(exchange_session)
        self.authenticated = False
        self.granted_scope = ""
        #: Why the key cannot be used as intended, empty when it can.
        self.problem = ""
        self._exchange_time = exchange_time
        self._random = random
        self._nonce = nonce
        self._retry_seconds = retry_seconds
        self._longest_retry_seconds = longest_retry_seconds
        self._failures = 0
        self._wide_grants = 0
        self._refresh_token: Secret | None = None
        self._due: float | None = None
        self._in_flight = False
        #: Whether the request in flight is a renewal; the login that it renews may be lost meanwhile.
        self._renewing = False
        self._granted_at = float("-inf")
        self._lost_early = 0
        #: How often the exchange ended the login of a connection.
        self.losses = 0
        self._signed_at: float | None = None
        self._signed_again = False

    def __repr__(self) -> str:
        state = "authenticated" if self.authenticated else "not authenticated"
        return f"<ApplicationLogin {state}>" if self.credentials else "<ApplicationLogin without credentials>"

    @property
    def degraded(self) -> bool:
        """Whether credentials were given and cannot be used; public prices arrive all the same."""
        return bool(self.problem)

    def due(self, now: float) -> bool:
        """Whether to send ``public/auth`` now: at first, at 80 % of a token's life, or a pause after a failure."""
        return self.credentials is not None and not self._in_flight and (self._due is None or now >= self._due)

    def sent(self) -> None:
        """``public/auth`` was queued; none is due until it is answered."""
        self._in_flight = True

    def params(self) -> dict[str, Any]:
        """The parameters of ``public/auth``; call it at the moment of sending, since a signature is valid for 60 s."""
        assert self.credentials is not None  # noqa: S101 (due() returned True)
        scope = self.scope
        renewal = self._refresh_token if self.authenticated else None
        self._renewing = bool(renewal)
        if renewal:
            self._signed_at = None
            return {"grant_type": "refresh_token", "refresh_token": renewal.reveal(), "scope": scope}
        client_id, secret = self.credentials.client_id, self.credentials.client_secret.reveal()
        if self.grant_type is GrantType.CREDENTIALS and not is_private_key(secret.encode()):
            return {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": secret,
                "scope": scope,
            }
        self._signed_at, nonce = self._exchange_time(), self._nonce()
        return signed_params(client_id, secret.encode(), scope, timestamp=int(self._signed_at * 1000), nonce=nonce)

    def granted(self, grant: Grant, now: float) -> list[str]:
        """Take a grant, to be renewed after 70 to 80 % of its life, and within `LONGEST_RENEWAL_SECONDS`.

        Returns a sentence if its rights are not as asked.

        A grant of rights to write is refreshed at once with the scope; if it comes back wide again, the login is
        dropped.
        """
        self.authenticated, self.granted_scope, self._in_flight = True, grant.scope, False
        excess = write_rights(grant.scope)
        if excess:
            return self._too_wide(grant, excess, now)
        missing = missing_rights(grant.scope)
        self.problem = f"the key may not {', '.join(missing)}" if missing else ""
        self._failures = self._wide_grants = 0
        self._granted_at = now
        self._signed_again = False
        self._refresh_token = Secret(grant.refresh_token)
        life = min(grant.expires_in if grant.expires_in > 0 else 60.0, LONGEST_RENEWAL_SECONDS / 0.8)
        self._due = now + life * (0.8 - 0.1 * self._random())
        return [self.problem] if self.problem else []

    def _too_wide(self, grant: Grant, excess: list[str], now: float) -> list[str]:
        self._wide_grants += 1
        self.problem = f"the exchange granted more than reading: {', '.join(excess)}"
        if self._wide_grants == 1:
            self._refresh_token, self._due = Secret(grant.refresh_token), now
            return [self.problem]
        self._refresh_token, self._wide_grants, self.authenticated = None, 0, False
        self._due = now + self._longest_retry_seconds
        return [f"{self.problem}; its login is not used"]

    def refused(self, error: ExchangeRefused, now: float) -> None:
        """The exchange refused the login. A scope that it cannot read is replaced at once by its documented words."""
        if refuses_scope(error.code, error.reason) and self.scope != (scope := documented_scope(self.scope)):
            self.scope, self._due, self._in_flight = scope, now, False
        elif error_code(error.code).wrong_key and self._signed_by_a_wrong_clock():
            self._signed_again, self._due, self._in_flight = True, now, False
        else:
            self.losses += self._renewing and self.authenticated and error_code(error.code).ends_tokens
            self.failed(_with_advice(error), now, hopeless=error_code(error.code).action is Action.STOP)

    def _signed_by_a_wrong_clock(self) -> bool:
        """Whether the refusal told a time of the exchange by which the signature was old; once for each login."""
        known = self._signed_at is not None and not self._signed_again
        return known and abs(self._exchange_time() - (self._signed_at or 0.0)) > SIGNATURE_SECONDS

    def failed(self, reason: str, now: float, *, hopeless: bool = False) -> None:
        """A failed refresh makes a full login due at once; a failed login makes the next one due after a pause.

        ``hopeless``: the exchange does not accept the key, so the pause is the longest: too many failed logins lock
        accounts (12003).
        """
        self._in_flight = self._signed_again = False
        self._refresh_token = None
        if self._renewing:
            self._due = now  # a login that was not lost lasts until its token expires
            return
        self.authenticated = False
        self.problem = reason
        self._failures += 1
        pause = doubled(2 * self._retry_seconds, self._failures - 1, cap_seconds=self._longest_retry_seconds)
        self._due = now + (self._longest_retry_seconds if hopeless else pause) * (0.75 + 0.25 * self._random())

    def lost(self, error: ExchangeRefused, sent: float, now: float) -> bool:
        """The exchange treats the connection as not logged in, as it answered to a request of that time.

        Other programs may have begun 16 sessions with the key. Returns whether a login follows at once; one that is
        lost again soon is followed by growing pauses, since the key may lack the right.
        """
        if sent < self._granted_at:
            return True  # a login was granted meanwhile
        if self.authenticated:
            self.authenticated, self._refresh_token = False, None
            self.problem = f"the exchange ended the login: {error}"
            self.losses += 1
            early = now - self._granted_at < self._longest_retry_seconds
            self._lost_early = self._lost_early + 1 if early else 0
            pause = doubled(self._retry_seconds, self._lost_early - 1, cap_seconds=self._longest_retry_seconds)
            self._due = now + (pause * (0.75 + 0.25 * self._random()) if self._lost_early > 1 else 0.0)
        return self._in_flight or self._due is None or self._due <= now

    def connection_lost(self) -> None:
        """The connection is gone, and its authentication with it; the pause after a rejected key goes on."""
        if self.authenticated:
            self._due = None
        self.authenticated = self._in_flight = False

    def statistics(self) -> LoginStatistics:
        """The state for health checks and operators."""
        return LoginStatistics(
            self.credentials is not None, self.authenticated, self.granted_scope.split(), self.problem, self.losses
        )
