"""CDP keys of Coinbase and the tokens (JWT) signed with them: Ed25519 (EdDSA) and P-256 (ES256).

A token has the header ``alg``, ``kid`` (the name of the key) and ``nonce``, and the claims ``sub`` (the same name),
``iss`` = ``cdp``, ``nbf`` and ``exp``, at most 120 seconds apart. It has no ``uri`` for this use.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ..statements.coinbase import CDP_TOKEN_SECONDS

__all__ = ["LONGEST_LIFE_SECONDS", "KeyPair", "key_name", "new_key_pair", "signed_token"]

LONGEST_LIFE_SECONDS = CDP_TOKEN_SECONDS.value


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as PEM texts; the exchange knows the public one only."""

    private: str = field(repr=False)
    public: str


def new_key_pair(algorithm: str = "EdDSA") -> KeyPair:
    """Returns a new key pair for ``EdDSA`` or ``ES256``."""
    ed, p256 = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    private = ed if algorithm == "EdDSA" else p256
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    return KeyPair(
        private.private_bytes(serialization.Encoding.PEM, form, plain).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


def key_name(token: str, public_key: Callable[[str], str], now: float) -> str | None:
    """Returns the name of the key that signed the token; None when anything about the token is wrong.

    ``public_key`` returns the PEM text of a named key, empty for an unknown one; ``now`` is UNIX seconds.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
        signature = _decoded(parts[2])
    except ValueError:
        return None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return None
    name = header.get("kid")
    if not isinstance(name, str) or not _valid(header, claims, name, now):
        return None
    key = public_key(name)
    data = f"{parts[0]}.{parts[1]}".encode()
    return name if key and _signed(key, str(header.get("alg")), signature, data) else None


def _valid(header: dict[str, Any], claims: dict[str, Any], name: str, now: float) -> bool:
    begin, end = claims.get("nbf"), claims.get("exp")
    if not isinstance(begin, int) or not isinstance(end, int) or not isinstance(header.get("nonce"), str):
        return False
    if claims.get("sub") != name or claims.get("iss") != "cdp" or "uri" in claims or not header["nonce"]:
        return False
    return begin <= now < end and end - begin <= LONGEST_LIFE_SECONDS


def _signed(pem: str, algorithm: str, signature: bytes, data: bytes) -> bool:
    """Whether the signature is the key's; the algorithm must be the key's own."""
    key = serialization.load_pem_public_key(pem.encode())
    try:
        if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, data)
        elif algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey) and len(signature) == 64:
            halves = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(encode_dss_signature(*halves), data, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def signed_token(private_key: str, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Returns a token signed with a private key (PEM text), whatever its header and claims; for tests."""
    key = serialization.load_pem_private_key(private_key.encode(), None)
    data = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        halves = decode_dss_signature(key.sign(data.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b"".join(half.to_bytes(32, "big") for half in halves)
    elif isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(data.encode())
    else:
        raise TypeError("expected an Ed25519 or a P-256 key")
    return f"{data}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Raises ValueError for a text that is not base64url."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from None
