"""The vault: everything that is kept of a person is sealed here, and every key of it is wrapped by the operator's.

Pure but for its clock and the operator's keys. Where Fernet is given something that must not stay in memory, it is
given noise instead, see `close_secret`.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ..errors import InvalidInput

__all__ = ["CannotOpen", "Vault", "fingerprint"]

#: Fernet's own tolerance for a clock that lags behind the one that sealed.
SKEW_SECONDS = 60


class CannotOpen(InvalidInput):
    """Something sealed does not open: cut, moved, forged, from the future, or of a key that was rotated away."""


class _Wrapped(msgspec.Struct, frozen=True):
    key: str
    sealed: str


class _Named(msgspec.Struct, frozen=True):
    """What was sealed, with the name it was sealed under: a record that is moved elsewhere is refused."""

    name: str
    data: bytes


def fingerprint(cookie: str) -> str:
    """What stands for a browser session everywhere but in its cookie; nobody gets back from it."""
    return hashlib.sha256(cookie.encode()).hexdigest()


class Vault:
    """Seals and opens with the operator's keys; ``keys`` gives them, the newest first, anew after a rotation.

    The newest wraps; every one of them opens.
    """

    def __init__(self, keys: Callable[[], Sequence[str]], *, wall: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._wall = wall
        self._held: tuple[str, ...] = ()
        self._keyring: MultiFernet | None = None

    def __repr__(self) -> str:
        return f"<Vault of {len(self._held)} keys>"

    def load(self) -> MultiFernet:
        """Read the keys anew; what cannot be read is known now and not when somebody logs in."""
        self._held = tuple(self._keys())
        self._keyring = MultiFernet([Fernet(key) for key in self._held])
        return self._keyring

    @property
    def _wrap(self) -> MultiFernet:
        return self._keyring or self.load()

    def _open(self, token: bytes | str, *, ttl: int | None = None) -> bytes:
        """Open with the keys in force; when none fits, they may have been rotated since they were read."""
        for again in (False, True):
            if again:
                if tuple(self._keys()) == self._held:
                    break
                self.load()
            try:
                if ttl is None:
                    return self._wrap.decrypt(token)
                return self._wrap.decrypt_at_time(token, ttl, int(self._wall()))
            except InvalidToken:
                continue
        raise CannotOpen("sealed with a key that is not ours, or not whole")

    # The secret of a login, for the seconds between the browser and the leader

    def close_secret(self, secret: bytearray) -> tuple[bytes, bytes]:
        """Ciphertext under a key of this one login, and that key wrapped; the caller wipes the secret.

        Fernet copies what it encrypts into memory nobody can wipe. So it gets the secret under a mask of random bytes
        as long as itself, and the mask travels with the key: what Fernet leaves behind is noise.
        """
        key, mask = Fernet.generate_key(), secrets.token_bytes(len(secret))
        masked = bytes(a ^ b for a, b in zip(secret, mask, strict=True))
        ciphertext = Fernet(key).encrypt_at_time(masked, int(self._wall()))
        return ciphertext, self._wrap.encrypt_at_time(key + mask, int(self._wall()))

    def open_secret(self, ciphertext: bytes, wrapped: bytes, *, seconds: int) -> bytearray:
        """The secret in memory that the caller wipes; raises Refused for what is older than ``seconds``."""
        both = self._open(wrapped, ttl=seconds)
        key, mask = both[:44], both[44:]
        try:
            masked = Fernet(key).decrypt_at_time(ciphertext, seconds, int(self._wall()))
            secret = bytearray(len(mask))  # of its final length: one that grows is copied, and leaves copies
            for place, (a, b) in enumerate(zip(masked, mask, strict=True)):
                secret[place] = a ^ b
            return secret
        except (InvalidToken, ValueError):
            raise CannotOpen("the secret and its key do not belong together") from None

    # Records of the cache

    def seal(self, name: str, data: bytes) -> bytes:
        """A record for the given name of the cache, under a key of its own."""
        key = Fernet.generate_key()
        now = int(self._wall())
        sealed = Fernet(key).encrypt_at_time(msgspec.json.encode(_Named(name, data)), now)
        wrapped = self._wrap.encrypt_at_time(key, now)
        return msgspec.json.encode(_Wrapped(wrapped.decode(), sealed.decode()))

    def open(self, name: str, record: bytes) -> bytes:
        """What was sealed under this very name; raises Refused for anything else."""
        try:
            wrapped = msgspec.json.decode(record, type=_Wrapped)
            named = msgspec.json.decode(Fernet(self._open(wrapped.key)).decrypt(wrapped.sealed), type=_Named)
        except (msgspec.DecodeError, InvalidToken, ValueError):
            raise CannotOpen("a record that is no record of ours") from None
        if named.name != name:
            raise CannotOpen("a record that was moved from another name")
        return named.data

    def rewrap(self, record: bytes) -> bytes:
        """The same record with its key wrapped by the newest of the operator's keys."""
        try:
            wrapped = msgspec.json.decode(record, type=_Wrapped)
        except msgspec.DecodeError:
            raise CannotOpen("a record that is no record of ours") from None
        key = self._open(wrapped.key)
        return msgspec.json.encode(
            _Wrapped(self._wrap.encrypt_at_time(key, int(self._wall())).decode(), wrapped.sealed)
        )

    # The token a browser holds

    def token(self, claims: bytes) -> str:
        """An opaque token that says the claims to this vault alone."""
        return self._wrap.encrypt_at_time(claims, int(self._wall())).decode()

    def claims(self, token: str, *, seconds: int) -> bytes:
        """What the token claims; raises Refused for one that is older, forged, cut, or from the future."""
        return self._open(token.encode("ascii", "replace"), ttl=seconds)
