"""What differs between the doors by which persons log in; the rest of this room is the same for all.

`KeyDoor` is the one of Deribit keys: a signature proves the key, and a refresh token renews what was granted.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..deribit.auth import SIGNATURE_SECONDS, Grant, signed_params, wipe
from ..deribit.error_codes import error_code
from ..errors import ExchangeError, ExchangeRefused, ExchangeUnreachable
from .grants import Call, exchange_session, login_ended, person_scope, renewed_grant, request_grant
from .person import KEY_DOOR, Person
from .tokens import Tokens

__all__ = ["Granted", "KeyDoor", "PersonDoor", "PersonDoors", "Sentences"]


@dataclass(frozen=True, slots=True)
class Granted:
    """What a log-in or a renewal returned; ``expires_in`` is in seconds, of the token for calls."""

    tokens: Tokens
    scope: str
    expires_in: float


@dataclass(frozen=True, slots=True)
class Sentences:
    """What a person reads when the account may not be read, when more than reading was granted, when it was refused.

    ``refused`` is empty where the error code of the exchange has a sentence of its own.
    """

    no_right: str
    too_wide: str
    refused: str = ""


class PersonDoor(Protocol):
    """How the persons of one door log in; every method raises ExchangeError, WideGrant and MissingRights.

    ``call`` makes the calls of persons. ``prefix`` begins their ids, so that those of two doors are never the same, and
    ``currency`` is one in which every account of the door has a summary.
    """

    call: Call
    prefix: str
    currency: str
    sentences: Sentences

    async def log_in(self, client_id: str, secret: bytearray, session: str) -> Granted:
        """Log in with what `LoginSecrets` kept, for a browser session; overwrites the secret before it waits."""

    def refresh_due(self, tokens: Tokens) -> bool:
        """Whether a renewal must first use the single-use refresh token."""

    async def refreshed(self, tokens: Tokens) -> Tokens:
        """Use the single-use refresh token. The caller stores the result before anything else."""

    def ends(self, error: ExchangeError) -> bool:
        """Whether the error says that the tokens which were sent are not accepted any more."""

    async def renewed(self, person: Person) -> Granted:
        """Renew what expires, from tokens that are not used up by it or that the result replaces."""


PersonDoors = Mapping[str, PersonDoor]


class KeyDoor:
    """Persons with a key of the exchange: the secret signs once, and is overwritten before the call is made.

    ``exchange_time`` returns UNIX seconds by the exchange's clock, as its last answer told it.
    """

    prefix = ""
    currency = "BTC"
    sentences = Sentences(
        "this key may not read the account: give it the right account:read",
        "the exchange granted more than reading, so nothing was kept: use a key with fewer rights",
    )

    def __init__(self, call: Call, *, exchange_time: Callable[[], float]) -> None:
        self.call = call
        self._exchange_time = exchange_time

    async def log_in(self, client_id: str, secret: bytearray, session: str) -> Granted:
        """See PersonDoor."""
        signed_at, nonce = self._exchange_time(), secrets.token_hex(8)
        try:
            scope = person_scope(exchange_session(session))
            params = signed_params(client_id, secret, scope, timestamp=int(signed_at * 1000), nonce=nonce)
        finally:
            wipe(secret)
        try:
            return _granted(await request_grant(self.call, params))
        except ExchangeRefused as exc:
            late = abs(self._exchange_time() - signed_at) > SIGNATURE_SECONDS
            if late and error_code(exc.code).wrong_key:  # the secret may well be right
                raise ExchangeUnreachable("the signature was old by the exchange's clock") from None
            raise

    def refresh_due(self, tokens: Tokens) -> bool:
        """Never: the refresh token is used by the renewal itself."""
        return False

    async def refreshed(self, tokens: Tokens) -> Tokens:
        """The same tokens."""
        return tokens

    def ends(self, error: ExchangeError) -> bool:
        """See PersonDoor."""
        return login_ended(error)

    async def renewed(self, person: Person) -> Granted:
        """See PersonDoor."""
        return _granted(await renewed_grant(self.call, person.exchange_session, person.tokens.refresh))


def _granted(grant: Grant) -> Granted:
    return Granted(Tokens(grant.access_token, grant.refresh_token), grant.scope, grant.expires_in)


def key_doors(call: Call, *, exchange_time: Callable[[], float]) -> PersonDoors:
    """The doors of a gateway that takes keys of the exchange only."""
    return {KEY_DOOR: KeyDoor(call, exchange_time=exchange_time)}
