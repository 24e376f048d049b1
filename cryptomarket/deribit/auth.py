"""How to authenticate at Deribit: scopes, grants, signatures, for the application and for persons.

Plain values and functions that import nothing of the package, so any feature may import them. No representation and
no error of this module contains a secret or a token.
"""

import base64
import binascii
import ctypes
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

__all__ = [
    "LEVELS",
    "READ_ONLY_SCOPE",
    "SIGNATURE_SECONDS",
    "Credentials",
    "Grant",
    "GrantType",
    "Life",
    "OAuthGrant",
    "Secret",
    "documented_scope",
    "is_private_key",
    "missing_rights",
    "private_key",
    "refuses_scope",
    "session_scope",
    "signature",
    "signed_params",
    "wipe",
    "write_rights",
]

#: A signature that is older by the exchange's clock may be refused: half of the minute for which it is accepted.
SIGNATURE_SECONDS = 30.0
#: Every kind of right of the exchange, and the level of it that is requested. A kind that a request does not name is
#: granted up to the limit of the key. ``none`` is documented for `_DOCUMENTED`; ``custody`` was seen in grants only.
LEVELS = {
    "account": "read",
    "wallet": "none",
    "trade": "none",
    "block_trade": "none",
    "block_rfq": "none",
    "custody": "none",
}
#: What is requested for the application and for every person: nothing that a thief of a token could trade with.
READ_ONLY_SCOPE = " ".join(f"{kind}:{level}" for kind, level in LEVELS.items())
_DOCUMENTED = ("account:read", "wallet:none", "trade:none")
#: Words the exchange adds to a scope that are not rights; ``name`` is that of the key.
_BOOKKEEPING = frozenset({"connection", "mainaccount", "session", "expires", "ip", "name"})
_UNUSABLE_KEY = "not an Ed25519 or RSA private key in PEM (BEGIN PRIVATE KEY) without a password"
_PEM_BEGIN, _PEM_END = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
_RANKS = {"none": 0, "read": 1, "read_write": 2}


#: The seconds that a token lives, in an answer. One that has expired on arrival would be renewed without a pause.
Life = Annotated[float, msgspec.Meta(ge=1)]


@dataclass(frozen=True, slots=True)
class Secret:
    """A text whose representation is stars; ``reveal()`` is for the one function that uses it."""

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
    """An API key: its public identifier, and its secret or the private half of its key pair (PEM)."""

    client_id: str
    client_secret: Secret


class GrantType(StrEnum):
    """How to log in with a key."""

    SIGNATURE = "client_signature"
    CREDENTIALS = "client_credentials"


class Grant(msgspec.Struct, frozen=True):
    """The result of ``public/auth``; its representation contains no token. ``expires_in`` is in seconds."""

    access_token: str
    refresh_token: str
    expires_in: Life
    scope: str

    def __repr__(self) -> str:
        return f"<Grant scope={self.scope!r} expires_in={self.expires_in:.0f}>"


class OAuthGrant(msgspec.Struct, frozen=True):
    """The answer of a token endpoint of OAuth 2; its representation contains no token. ``expires_in`` is in seconds."""

    access_token: str
    expires_in: Life = 3600.0
    refresh_token: str = ""
    scope: str = ""

    def __repr__(self) -> str:
        return f"<OAuthGrant expires_in={self.expires_in:.0f}>"


def is_private_key(secret: bytes | bytearray) -> bool:
    """Whether a secret is the private half of a key pair, and not a text that the exchange issued."""
    return secret.startswith(b"-----BEGIN ")


def private_key(pem: bytes | bytearray) -> Ed25519PrivateKey | RSAPrivateKey:
    """The private key in a PEM text, whose line breaks may be missing.

    Raises ValueError, which has no part of the key, for any other text.

    A copy of the decoded key is overwritten; a PEM parser would leave one behind.
    """
    begin, end = pem.find(_PEM_BEGIN), pem.find(_PEM_END)
    if begin != 0 or end < 0:
        raise ValueError(_UNUSABLE_KEY)
    der = b""
    with memoryview(pem) as view, view[len(_PEM_BEGIN) : end] as body:
        try:
            der = binascii.a2b_base64(body)
            key = load_der_private_key(der, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError(_UNUSABLE_KEY) from None
        finally:
            wipe(der)
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
        raise ValueError(_UNUSABLE_KEY)
    return key


def signature(secret: bytes | bytearray, timestamp: int, nonce: str, data: str = "") -> str:
    """The signature over timestamp (UNIX ms), nonce and data; the first two are each followed by a newline.

    With a secret HMAC-SHA256 in hex; with a private key its own signature (RSA: PKCS #1 v1.5 with SHA-256) in base64url
    without padding, as in the example of https://docs.deribit.com/articles/asymmetric-api-keys. Raises ValueError as
    `private_key`.
    """
    text = f"{timestamp}\n{nonce}\n{data}".encode()
    if not is_private_key(secret):
        return hmac.digest(secret, text, "sha256").hex()
    key = private_key(secret)
    signed = key.sign(text) if isinstance(key, Ed25519PrivateKey) else key.sign(text, PKCS1v15(), SHA256())
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def signed_params(
    client_id: str, secret: bytes | bytearray, scope: str, *, timestamp: int, nonce: str
) -> dict[str, Any]:
    """The parameters of ``public/auth`` that prove a secret without sending it; they are valid for a minute."""
    return {
        "grant_type": str(GrantType.SIGNATURE),
        "client_id": client_id,
        "timestamp": timestamp,
        "nonce": nonce,
        "data": "",
        "signature": signature(secret, timestamp, nonce),
        "scope": scope,
    }


def session_scope(session: str, *, life_seconds: int | None = None) -> str:
    """The scope of a login and of each of its renewals.

    The tokens belong to the exchange session of that name, and live at most ``life_seconds``.
    """
    return f"session:{session} {READ_ONLY_SCOPE}" + (f" expires:{life_seconds}" if life_seconds is not None else "")


def documented_scope(scope: str) -> str:
    """The scope without the words that are not documented, for an exchange that refuses the scope because of them."""
    rights = READ_ONLY_SCOPE.split()
    return " ".join(word for word in scope.split() if word not in rights or word in _DOCUMENTED)


def refuses_scope(code: int, reason: str) -> bool:
    """Whether an error says that the scope cannot be read: invalid params, with ``scope`` as the parameter."""
    return code == -32602 and reason.startswith("scope")


def missing_rights(granted: str) -> list[str]:
    """The requested rights that ``granted`` lacks: the exchange narrows a scope to the key's without an error."""
    rights = _rights(granted)
    return [f"{kind}:{level}" for kind, level in LEVELS.items() if _RANKS[level] > _RANKS[rights.get(kind, "none")]]


def write_rights(granted: str) -> list[str]:
    """The rights in ``granted`` beyond reading. Rights to read are accepted: a new kind must lock nobody out."""
    return sorted(f"{kind}:{level}" for kind, level in _rights(granted).items() if _RANKS[level] > _RANKS["read"])


def _rights(scope: str) -> dict[str, str]:
    """The widest level of each kind; an unknown level, or none at all, counts as the widest."""
    rights: dict[str, str] = {}
    for word in scope.split():
        kind, _, level = word.partition(":")
        if kind not in _BOOKKEEPING:
            known = level if level in _RANKS else "read_write"
            rights[kind] = max(known, rights.get(kind, "none"), key=_RANKS.__getitem__)
    return rights


def wipe(data: bytes | bytearray) -> None:
    """Overwrite a secret in place with zeros; the caller must be the last reader of the object.

    Python offers no other way for ``bytes``. A ``bytes`` of one letter is shared by the whole process and stays.
    """
    if isinstance(data, bytearray):
        data[:] = bytes(len(data))
    elif isinstance(data, bytes) and len(data) > 1:  # a server may hand over other buffers
        ctypes.memset(id(data) + bytes.__basicsize__ - 1, 0, len(data))
