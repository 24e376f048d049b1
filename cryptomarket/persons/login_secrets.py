"""The secret of a login, encrypted in the cache for the seconds between the node that received it and the leader."""

import secrets

import msgspec

from .cache import Cache
from .vault import CannotOpen, Vault

__all__ = ["SECRET_SECONDS", "LoginSecrets"]

#: The names of the ciphertext and of its key, and how long both live.
CIPHERTEXT, KEY = "deribit:login:%s:secret", "deribit:login:%s:key"
SECRET_SECONDS = 15


class LoginSecrets:
    """Stores a secret under a login id, which is all that travels to the leader. Raises CacheUnavailable."""

    def __init__(self, cache: Cache, vault: Vault) -> None:
        self._cache = cache
        self._vault = vault

    async def put(self, client_id: str, secret: bytearray) -> str:
        """Encrypt and store the secret; return its login id. The caller overwrites ``secret``."""
        login_id = secrets.token_urlsafe(16)
        ciphertext, key = self._vault.seal_secret(secret)
        # The client id is sealed with the key, so that the ciphertext alone does not tell whose it is.
        record = self._vault.seal(KEY % login_id, msgspec.json.encode((client_id, key)))
        await self._cache.put(CIPHERTEXT % login_id, ciphertext, SECRET_SECONDS)
        await self._cache.put(KEY % login_id, record, SECRET_SECONDS)
        return login_id

    async def take(self, login_id: str) -> tuple[str, bytearray] | None:
        """Delete the secret and return it with its client id; None when it expired, was taken or cannot be opened.

        The caller overwrites the secret.
        """
        ciphertext = await self._cache.take(CIPHERTEXT % login_id)
        record = await self._cache.take(KEY % login_id)
        if ciphertext is None or record is None:
            return None
        try:
            client_id, key = msgspec.json.decode(self._vault.open(KEY % login_id, record), type=tuple[str, bytes])
            return client_id, self._vault.open_secret(ciphertext, key, seconds=SECRET_SECONDS)
        except (CannotOpen, msgspec.DecodeError):
            return None
