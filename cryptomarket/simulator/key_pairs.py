"""API keys that are key pairs (Ed25519, RSA) at the simulated exchange, which knows the public half."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

__all__ = ["verifies"]


def verifies(public_pem: str, text: bytes, signature: str) -> bool:
    """Whether the private half signed the text; the signature is base64url without padding."""
    key = load_pem_public_key(public_pem.encode())
    try:
        signed = base64.b64decode(signature + "=" * (-len(signature) % 4), altchars=b"-_", validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(signed, text)
        elif isinstance(key, RSAPublicKey):
            key.verify(signed, text, PKCS1v15(), SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error):
        return False
    return True
