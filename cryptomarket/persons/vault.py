"""Encryption of everything kept of a person: each record under a key of its own, wrapped by the operator's keys.

Pure but for the clock and the operator's keys.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..errors import InvalidInput
from .keyring import Keyring

__all__ = ["CannotOpen", "Vault", "fingerprint"]


class CannotOpen(InvalidInput):
    """Encrypted data that cannot be opened: cut, moved, forged, expired, or of a key that was rotated away."""


class _Wrapped(msgspec.Struct, frozen=True):
    key: str
    sealed: str


class _Named(msgspec.Struct, frozen=True):
    """Data with the name of its record, so that a record copied to another name is refused."""

    name: str
    data: bytes


def fingerprint(cookie: str) -> str:
    """Return the name of a browser session, from which its cookie cannot be computed."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Vault:
    """Encrypts with the newest of the operator's keys, decrypts with all of them.

    ``keys`` returns them, the newest first. ``keyring`` holds them, and derives keys for purposes that are no records.
    """

    def __init__(self, keys: Callable[[], Sequence[str]], *, wall: Callable[[], float] = time.time) -> None:
        self.keyring = Keyring(keys)
        self._wall = wall

    def __repr__(self) -> str:
        return f"<Vault over {self.keyring!r}>"

    def load(self) -> None:
        """Read the keys; raises StartError when they cannot be read, at the start instead of at the first login."""
        self.keyring.load()

    @property
    def _wrap(self) -> MultiFernet:
        return self.keyring.fernet()

    def _open(self, token: bytes | str, *, ttl: int | None = None) -> bytes:
        """Decrypt with the loaded keys, and once more with fresh ones if they were rotated meanwhile."""
        for again in (False, True):
            if again and not self.keyring.refresh():
                break
            try:
                if ttl is None:
                    return self._wrap.decrypt(token)
                return self._wrap.decrypt_at_time(token, ttl, int(self._wall()))
            except InvalidToken:
                continue
        raise CannotOpen("encrypted with an unknown key, expired or damaged")

    # The secret of a login

    def seal_secret(self, secret: bytearray) -> tuple[bytes, bytes]:
        """Return the ciphertext under a new key, and that key wrapped. The caller overwrites the secret.

        Fernet copies its input into memory that cannot be overwritten. Its input is therefore the secret XOR a random
        mask of the same length, which is kept with the key: the copies are noise.
        """
        key, mask = Fernet.generate_key(), secrets.token_bytes(len(secret))
        masked = bytes(a ^ b for a, b in zip(secret, mask, strict=True))
        ciphertext = Fernet(key).encrypt_at_time(masked, int(self._wall()))
        return ciphertext, self._wrap.encrypt_at_time(key + mask, int(self._wall()))

    def open_secret(self, ciphertext: bytes, wrapped: bytes, *, seconds: int) -> bytearray:
        """Return the secret, which the caller overwrites. Raises CannotOpen, also for one older than ``seconds``."""
        both = self._open(wrapped, ttl=seconds)
        key, mask = both[:44], both[44:]
        try:
            masked = Fernet(key).decrypt_at_time(ciphertext, seconds, int(self._wall()))
            secret = bytearray(len(mask))  # of its final length: a growing one would leave copies behind
            for place, (a, b) in enumerate(zip(masked, mask, strict=True)):
                secret[place] = a ^ b
            return secret
        except (InvalidToken, ValueError):
            raise CannotOpen("the secret and its key do not belong together") from None

    # Records of the cache

    def seal(self, name: str, data: bytes) -> bytes:
        """Return a record of the data, encrypted under a new key, that opens only under this name of the cache."""
        key = Fernet.generate_key()
        now = int(self._wall())
        sealed = Fernet(key).encrypt_at_time(msgspec.json.encode(_Named(name, data)), now)
        wrapped = self._wrap.encrypt_at_time(key, now)
        return msgspec.json.encode(_Wrapped(wrapped.decode(), sealed.decode()))

    def open(self, name: str, record: bytes) -> bytes:
        """Return the data that was sealed under the name. Raises CannotOpen."""
        try:
            wrapped = msgspec.json.decode(record, type=_Wrapped)
            named = msgspec.json.decode(Fernet(self._open(wrapped.key)).decrypt(wrapped.sealed), type=_Named)
        except (msgspec.DecodeError, InvalidToken, ValueError):
            raise CannotOpen("not a record of this program") from None
        if named.name != name:
            raise CannotOpen("a record of another name")
        return named.data

    def rewrap(self, record: bytes) -> bytes:
        """Return the record with its key wrapped by the newest operator key. Raises CannotOpen."""
        try:
            wrapped = msgspec.json.decode(record, type=_Wrapped)
        except msgspec.DecodeError:
            raise CannotOpen("not a record of this program") from None
        key = self._open(wrapped.key)
        return msgspec.json.encode(
            _Wrapped(self._wrap.encrypt_at_time(key, int(self._wall())).decode(), wrapped.sealed)
        )

    # The token a browser holds

    def token(self, claims: bytes) -> str:
        """Return an opaque token that contains the claims."""
        return self._wrap.encrypt_at_time(claims, int(self._wall())).decode()

    def claims(self, token: str, *, seconds: int) -> bytes:
        """Return the claims of a token. Raises CannotOpen, also for one older than ``seconds``."""
        return self._open(token.encode("ascii", "replace"), ttl=seconds)
