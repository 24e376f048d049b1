"""The operator's keys in memory, and the keys derived from them, one for each purpose.

Keys that change on disk are read again while the program runs. The newest key signs and encrypts, every key that is
given verifies and decrypts.
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import StartError

__all__ = ["MAC_BYTES", "REREAD_SECONDS", "Keyring"]

log = structlog.get_logger(__name__)

#: How old the keys may be when they are used: a rotation reaches a running program within this time.
REREAD_SECONDS = 2.0
#: The shortest interval between reads because something did not verify: junk must not cost a read of the file each.
AGAIN_SECONDS = 0.25
MAC_BYTES = 32


class Keyring:
    """The operator's keys, which ``keys`` returns, the newest first.

    A purpose is a text in the code, never input: what is derived for it is kept.
    """

    def __init__(self, keys: Callable[[], Sequence[str]], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._monotonic = monotonic
        self._loaded: tuple[str, ...] = ()
        self._read_at = self._again_at = float("-inf")
        self._unreadable = False
        self._fernet: MultiFernet | None = None
        self._fernets: dict[str, MultiFernet] = {}
        #: HMACs that have a key and no data yet. A copy costs less than a new one, and every join of a stream verifies
        #: a cookie.
        self._macs: dict[str, tuple[hmac.HMAC, ...]] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._loaded)} keys>"

    def load(self) -> None:
        """Read the keys; raises StartError when they cannot be read, at the start instead of at the first use."""
        self._read_at = self._monotonic()
        keys = tuple(self._keys())
        if keys == self._loaded:
            return
        if self._loaded:
            log.info("operator keys changed", keys=len(keys))
        self._loaded, self._fernet = keys, MultiFernet([Fernet(key) for key in keys])
        self._fernets, self._macs = {}, {}

    def refresh(self) -> bool:
        """Read the keys now, unless that was done a moment ago; returns whether they changed."""
        now = self._monotonic()
        if now - self._again_at < AGAIN_SECONDS:
            return False
        self._again_at = now
        before = self._loaded
        self._reload()
        return self._loaded != before

    def _reload(self) -> None:
        """Read the keys; while they cannot be read those in memory stay in use."""
        try:
            self.load()
        except StartError as exc:
            if not self._loaded:
                raise
            if not self._unreadable:
                log.warning("operator keys not read again, those in memory stay in use", reason=str(exc))
            self._unreadable = True
        else:
            self._unreadable = False

    def _keep_fresh(self) -> None:
        if self._monotonic() - self._read_at >= REREAD_SECONDS:
            self._reload()

    def fernet(self) -> MultiFernet:
        """The operator's keys themselves, as Fernet."""
        self._keep_fresh()
        assert self._fernet is not None  # noqa: S101 (loaded just now at the latest)
        return self._fernet

    # Signatures: the data stays readable

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The MAC of the data for the purpose, MAC_BYTES long, by the newest key."""
        return _mac(self._macs_for(purpose)[0], data)

    def verifies(self, purpose: str, data: bytes, mac: bytes) -> bool:
        """Whether one of the keys made the MAC of the data for the purpose."""
        return self._verifies(purpose, data, mac) or (self.refresh() and self._verifies(purpose, data, mac))

    def _verifies(self, purpose: str, data: bytes, mac: bytes) -> bool:
        return any(hmac.compare_digest(_mac(begun, data), bytes(mac)) for begun in self._macs_for(purpose))

    def _macs_for(self, purpose: str) -> tuple[hmac.HMAC, ...]:
        self._keep_fresh()
        found = self._macs.get(purpose)
        if found is None:
            keys = [_derived(key, purpose) for key in self._loaded]
            self._macs[purpose] = found = tuple(hmac.new(key, digestmod="sha256") for key in keys)
        return found

    # Encryption: only holders of the keys can read the data

    def seal(self, purpose: str, data: bytes) -> bytes:
        """The data, encrypted and authenticated for the purpose by the newest key."""
        return self._fernet_for(purpose).encrypt(data)

    def open(self, purpose: str, sealed: bytes) -> bytes | None:
        """The data that was sealed for the purpose; None for anything else."""
        for again in (False, True):
            if again and not self.refresh():
                break
            try:
                return self._fernet_for(purpose).decrypt(sealed)
            except InvalidToken:
                continue
        return None

    def _fernet_for(self, purpose: str) -> MultiFernet:
        self._keep_fresh()
        found = self._fernets.get(purpose)
        if found is None:
            keys = [_derived(key, purpose) for key in self._loaded]
            self._fernets[purpose] = found = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
        return found


def _mac(begun: hmac.HMAC, data: bytes) -> bytes:
    mac = begun.copy()
    mac.update(data)
    return mac.digest()


def _derived(key: str, purpose: str) -> bytes:
    """A key for one purpose (RFC 5869): who learns it learns neither the operator's key nor that of another purpose."""
    hkdf = HKDF(SHA256(), length=32, salt=None, info=f"cryptomarket {purpose}".encode())
    return hkdf.derive(urlsafe_b64decode(key))
