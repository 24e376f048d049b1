"""Accounts, logins and tokens of the simulated exchange: every grant of public/auth, scopes, sessions, expiry.

Pure but for the clock and the randomness it is given. A connection is any object that stands for one.
"""

import base64
import hashlib
import hmac
import random as random_module
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..statements.authentication import CONNECTION_EXPIRES_IN, SIGNATURE_SECONDS
from ..statements.limits import SESSIONS_PER_KEY
from .coinbase_keys import key_name
from .doors import DERIBIT, SimulatedDoor
from .key_pairs import verifies
from .oauth_issuer import OAuthIssuer
from .rpc_errors import RpcError, invalid, unauthorized
from .scopes import FULL, check_documented, coinbase_rights, granted, kept, session_name
from .switches import Switches

__all__ = ["CDP_ACCOUNT", "DEFAULT_ACCOUNT", "Accounts", "IssuedGrant", "SimulatedAccount"]

#: Failed logins of one key within a minute before 12003; the real number is not published.
MOST_FAILURES = 60


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """An account with an API key; ``scope`` is the widest scope that the key may be granted.

    A key that is a pair has no secret, but the public half (PEM) as ``public_key``: Ed25519 or RSA at Deribit, and a
    CDP key, whose name is the ``client_id``, at Coinbase.
    """

    client_id: str
    client_secret: str = field(default="", repr=False)
    email: str = ""
    username: str = ""
    number: int = 0
    scope: str = FULL
    public_key: str = ""

    @property
    def identity(self) -> int:
        """The integer id of the account, the same in every run."""
        return self.number or int.from_bytes(hashlib.sha256(self.client_id.encode()).digest()[:3], "big") + 10_000

    @property
    def name(self) -> str:
        """The username; derived from the e-mail or the key when none was given."""
        return self.username or self.email.partition("@")[0] or self.client_id.lower()

    @property
    def address(self) -> str:
        """The e-mail address; derived from the key when none was given."""
        return self.email or f"{self.client_id.lower()}@example.com"


DEFAULT_ACCOUNT = SimulatedAccount("demo", "demo-secret", "demo@example.com", "demo")
#: The account at the doors of Coinbase when none is named; it has a key only if somebody gives it one.
CDP_ACCOUNT = SimulatedAccount("organizations/demo/apiKeys/demo", "", "demo@example.com", "demo")
#: The words that Coinbase grants to a key that may trade; without the last one to a key that may not.
CDP_SCOPE = "wallet:user:read wallet:accounts:read wallet:transactions:read wallet:buys:create"


@dataclass(slots=True, eq=False)
class IssuedGrant:
    """A granted login: its account, scope, tokens, expiry, and the connection it is bound to."""

    account: SimulatedAccount
    scope: frozenset[str]
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_at: float
    expires_in: int
    session: str | None
    connection: object | None
    refreshed_at: float
    #: The words of Coinbase, which answers with its own instead of ``scope``.
    coinbase_scope: str = ""

    def may(self, need: str) -> bool:
        """Whether the scope covers ``account:read`` and the like; read_write includes read."""
        return need in self.scope or f"{need}_write" in self.scope

    def answer(self, state: str | None, switches: Switches) -> dict[str, Any]:
        """The result of public/auth."""
        if self.coinbase_scope:
            return self._coinbase_answer(switches)
        value: dict[str, Any] = {
            "enabled_features": [],
            "access_token": self.access,
            "expires_in": self.expires_in,
            "refresh_token": self.refresh,
            "scope": " ".join(sorted(self.scope, key=lambda word: word[::-1])),  # an order that no client may rely on
            "token_type": "bearer",
        }
        if switches.sid and self.session is not None:
            value["sid"] = hashlib.sha256(self.session.encode()).hexdigest()[:16]
        return value if state is None else value | {"state": state}

    def _coinbase_answer(self, switches: Switches) -> dict[str, Any]:
        """No refresh token; over WebSocket a ``sid``, and no token either: the connection is the login."""
        value: dict[str, Any] = {
            "expires_in": self.expires_in,
            "scope": self.coinbase_scope,
            "token_type": "bearer",
        }
        if self.connection is not None:
            value["sid"] = hashlib.sha256(self.access.encode()).hexdigest()[:16]
        if self.connection is None or switches.coinbase_socket_token:
            value["access_token"] = self.access
        return value


class Accounts:
    """All accounts and the tokens issued to them."""

    def __init__(
        self,
        accounts: Sequence[SimulatedAccount],
        *,
        wall: Callable[[], float],
        switches: Switches,
        random: random_module.Random,
        door: SimulatedDoor = DERIBIT,
    ) -> None:
        self.known = {account.client_id: account for account in accounts}
        self._wall = wall
        self._switches = switches
        self._random = random
        self._door = door
        self._by_access: dict[str, IssuedGrant] = {}
        self._by_refresh: dict[str, IssuedGrant] = {}
        self._nonces: set[tuple[str, str]] = set()
        self._failures: dict[str, list[float]] = {}
        self.oauth = OAuthIssuer(wall, random, switches)
        self.refuse_logins: RpcError | None = None
        #: Refreshes that are granted all rights of the key, whatever was requested.
        self.widened_refreshes = 0

    def authenticate(self, params: dict[str, Any], connection: object, *, websocket: bool = True) -> IssuedGrant:
        """Returns the grant of a login; raises the RpcError that the exchange answers with."""
        if self.refuse_logins is not None:
            raise self.refuse_logins
        kind = params.get("grant_type")
        if kind not in self._door.grants:
            raise invalid("grant_type", "value required" if kind is None else "invalid value")
        if kind == "refresh_token":
            return self._renew(params, connection)
        if kind in ("coinbase_cdp", "coinbase_oauth2"):
            of_token = self._of_cdp_token if kind == "coinbase_cdp" else self._of_oauth_token
            return self._coinbase_grant(*of_token(_text(params, "token")), connection if websocket else None)
        name = _text(params, "client_id")
        self._limit_failures(name)
        account = self.known.get(name)
        proof = self._secret_fits if kind == "client_credentials" else self._signature_fits
        if account is None or not proof(account, params):
            self._failures.setdefault(name, []).append(self._wall())
            raise RpcError(13004)
        return self._grant(account, str(params.get("scope") or ""), connection)

    def _of_cdp_token(self, token: str) -> tuple[SimulatedAccount, str]:
        """Returns the account whose CDP key signed the token, and the words of what the key may do."""
        name = key_name(token, lambda name: self.known[name].public_key if name in self.known else "", self._wall())
        if name is None:
            raise RpcError(self._switches.coinbase_rejected_code)
        account = self.known[name]
        return account, CDP_SCOPE if "trade:read_write" in account.scope else CDP_SCOPE.rpartition(" ")[0]

    def _of_oauth_token(self, token: str) -> tuple[SimulatedAccount, str]:
        """Returns the account that consented, and the words of what it allowed."""
        consent = self.oauth.consent_of(token)
        if consent is None or consent.account not in self.known:
            raise RpcError(self._switches.coinbase_rejected_code)
        return self.known[consent.account], " ".join(word for word in consent.scope if word != "offline_access")

    def _coinbase_grant(self, account: SimulatedAccount, words: str, socket: object | None) -> IssuedGrant:
        """A login of Coinbase: of a connection, or a token for HTTP; it is never refreshed."""
        switches = self._switches
        scope, _ = granted(account.scope, coinbase_rights(words))
        life = switches.coinbase_http_expires_in if socket is None else switches.coinbase_socket_expires_in
        now = self._wall()
        access = self._random.randbytes(32).hex()
        grant = IssuedGrant(account, scope, access, "", now + life, life, None, socket, now, words)
        self._by_access[access] = grant
        return grant

    def grant_of(self, token: str, connection: object) -> IssuedGrant:
        """Returns the grant of an access token; raises 13009 when it is expired, unknown or of another connection."""
        grant = self._by_access.get(token)
        if grant is None or grant.expires_at <= self._wall():
            raise unauthorized()
        if grant.connection is not None and grant.connection is not connection:
            raise unauthorized()
        return grant

    def alive(self, grant: IssuedGrant) -> bool:
        """Whether the grant has neither expired nor been ended."""
        return self._by_access.get(grant.access) is grant and grant.expires_at > self._wall()

    def fork(self, refresh: str, name: str, connection: object) -> IssuedGrant:
        """Returns a new named session made from a session-scoped refresh token."""
        grant = self._of_refresh(refresh, connection)
        if grant.session is None:
            raise invalid("refresh_token", "invalid value")
        return self._grant(self._account_of(grant), kept(grant.scope, session=name), connection)

    def exchange(self, refresh: str, subject: int, scope: str, connection: object) -> IssuedGrant:
        """Returns a login for another account of the same owner; the simulator has one account per owner.

        Without a session in the scope the supplied refresh token and its access token become invalid (since May 2025).
        """
        grant = self._of_refresh(refresh, connection)
        if subject != grant.account.identity:
            raise RpcError(13021)
        if session_name(frozenset(scope.split())) is None:
            self.end(grant)
        return self._grant(grant.account, scope, connection)

    def end(self, grant: IssuedGrant) -> None:
        """Invalidates the grant."""
        self._by_access.pop(grant.access, None)
        self._by_refresh.pop(grant.refresh, None)

    def connection_closed(self, connection: object) -> None:
        """Invalidates the grants that are scoped to the connection."""
        for grant in [grant for grant in self._by_access.values() if grant.connection is connection]:
            self.end(grant)

    def expire_all(self, seconds: float = 0.0) -> None:
        """Makes every access token expire in ``seconds``; refresh tokens stay valid."""
        for grant in self._by_access.values():
            grant.expires_at = min(grant.expires_at, self._wall() + seconds)

    def revoke_all(self) -> None:
        """Invalidates every grant, refresh tokens included."""
        for grant in list(self._by_access.values()):
            self.end(grant)

    def narrow(self, client_id: str, scope: str) -> None:
        """Changes the widest scope of a key; log-ins and refreshes obey it, tokens that were issued stay as they are.

        Raises ValueError for an unknown key.
        """
        if client_id not in self.known:
            raise ValueError(f"unknown key {client_id!r}")
        self.known[client_id] = replace(self.known[client_id], scope=scope)

    def revoke(self, client_id: str) -> None:
        """Deletes a key and invalidates its grants. Raises ValueError for an unknown key."""
        if self.known.pop(client_id, None) is None:
            raise ValueError(f"unknown key {client_id!r}")
        for grant in [grant for grant in self._by_access.values() if grant.account.client_id == client_id]:
            self.end(grant)

    def _account_of(self, grant: IssuedGrant) -> SimulatedAccount:
        """Returns the account with its present rights; raises 13009 when its key was deleted."""
        account = self.known.get(grant.account.client_id)
        if account is None:
            raise unauthorized()
        return account

    def _secret_fits(self, account: SimulatedAccount, params: dict[str, Any]) -> bool:
        secret = _text(params, "client_secret")
        return bool(account.client_secret) and hmac.compare_digest(account.client_secret.encode(), secret.encode())

    def _signature_fits(self, account: SimulatedAccount, params: dict[str, Any]) -> bool:
        stamp, nonce = params.get("timestamp"), str(params.get("nonce") or "")
        signature = _text(params, "signature")
        if not nonce and not self._switches.empty_nonce:
            raise invalid("nonce", "value required")
        if not isinstance(stamp, int):
            raise invalid("timestamp", "value required" if stamp is None else "wrong format")
        text = f"{stamp}\n{nonce}\n{params.get('data') or ''}"
        if account.public_key:
            fits = verifies(account.public_key, text.encode(), signature)
        else:
            expected = hmac.new(account.client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
            fits = bool(account.client_secret) and hmac.compare_digest(expected.encode(), signature.encode())
        if not fits:
            return False
        used = (account.client_id, nonce) in self._nonces and not self._switches.nonce_reuse
        if used or abs(self._wall() - stamp / 1000) > SIGNATURE_SECONDS.value:
            raise RpcError(self._switches.stale_signature_code)
        self._nonces.add((account.client_id, nonce))
        return True

    def _limit_failures(self, name: str) -> None:
        recent = [at for at in self._failures.get(name, ()) if at > self._wall() - 60]
        self._failures[name] = recent
        if len(recent) >= MOST_FAILURES:
            raise RpcError(12003)

    def _renew(self, params: dict[str, Any], connection: object) -> IssuedGrant:
        """A new pair for the same session; the key's rights limit the scope that is requested."""
        grant = self._of_refresh(_text(params, "refresh_token"), connection)
        account = self._account_of(grant)
        requested = str(params.get("scope") or "")
        scope = _in_session(requested, grant.session)
        if self.widened_refreshes:
            self.widened_refreshes -= 1
            scope = _in_session(account.scope, grant.session)
        elif not requested and self._switches.refresh_keeps_scope:
            scope = kept(grant.scope, session=grant.session)
        self.end(grant)  # the previous pair is invalid from now on
        return self._grant(account, scope, connection)

    def _of_refresh(self, token: str, connection: object) -> IssuedGrant:
        grant = self._by_refresh.get(token)
        if grant is None or (grant.connection is not None and grant.connection is not connection):
            raise unauthorized()
        return grant

    def _grant(self, account: SimulatedAccount, requested: str, connection: object) -> IssuedGrant:
        if not self._switches.any_kind_none:
            check_documented(requested)
        scope, expires = granted(account.scope, requested)
        session = session_name(scope)
        life = CONNECTION_EXPIRES_IN.value if session is None else self._switches.session_expires_in
        life = life if expires is None else min(life, expires)
        now = self._wall()
        grant = IssuedGrant(
            account,
            scope,
            self._token(now + life),
            self._token(now + life),
            now + life,
            life,
            session,
            connection if session is None else None,
            now,
        )
        self._make_room(grant)
        self._by_access[grant.access] = grant
        self._by_refresh[grant.refresh] = grant
        return grant

    def _make_room(self, new: IssuedGrant) -> None:
        """Replaces a session of the same name; a 17th session evicts the one refreshed longest ago."""
        key = new.account.client_id
        own = [grant for grant in self._by_access.values() if grant.account.client_id == key]
        for grant in own:
            if grant.session is not None and grant.session == new.session:
                self.end(grant)
        count_all = self._switches.connection_logins_count
        counted = [grant for grant in own if self.alive(grant) and (count_all or grant.session is not None)]
        if (count_all or new.session is not None) and len(counted) >= SESSIONS_PER_KEY.value:
            if not self._switches.evicts_sessions:
                raise RpcError(12003)
            self.end(min(counted, key=lambda grant: grant.refreshed_at))

    def _token(self, expires_at: float) -> str:
        """``<ms>.<8 characters>.<base64url>``, about 310 characters, as recorded; not a JWT."""
        short = "1" + base64.b32encode(self._random.randbytes(5)).decode()[:7]
        long = base64.urlsafe_b64encode(self._random.randbytes(215)).rstrip(b"=").decode()
        return f"{int(expires_at * 1000)}.{short}.{long}"


def _in_session(requested: str, session: str | None) -> str:
    """Returns the requested scope with the session of the grant that is renewed: a refresh starts no other session."""
    words = [word for word in requested.split() if not word.startswith("session:")]
    return " ".join([*words, f"session:{session}"] if session else words)


def _text(params: dict[str, Any], name: str) -> str:
    value = params.get(name)
    if value is None or value == "":
        raise invalid(name, "value required")
    if not isinstance(value, str):
        raise invalid(name, "wrong format")
    return value
