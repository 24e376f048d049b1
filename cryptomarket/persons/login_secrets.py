"""The secret of a login, encrypted in the cache for the seconds between the node that received it and the leader."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from ..errors import CacheUnavailable
from .cache import Cache
from .leader_requests import LoginRequest
from .vault import CannotOpen, Vault

__all__ = ["MAX_SECRET_SECONDS", "SECRET_SECONDS", "LoginSecrets"]

#: The names of the ciphertext, of its key, and of the request to log in with it.
PREFIX = "deribit:login:"
CIPHERTEXT, KEY, REQUEST = f"{PREFIX}%s:secret", f"{PREFIX}%s:key", f"{PREFIX}%s:request"
#: How long a secret lives, and how long at most when it is extended because its login waits for its turn.
SECRET_SECONDS, MAX_SECRET_SECONDS = 15, 120
#: The request lives longer than the secret, so that a new leader can tell that the login failed.
REQUEST_SECONDS = 30


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

    async def put_request(self, request: LoginRequest) -> None:
        """Store the request to log in, from which a new leader learns that the login waits."""
        name = REQUEST % request.login_id
        record = self._vault.seal(name, msgspec.json.encode(request))
        await self._cache.put(name, record, SECRET_SECONDS + REQUEST_SECONDS)

    async def requests(self) -> AsyncIterator[LoginRequest]:
        """Iterate over the stored requests of logins that have not ended."""
        async for name in self._cache.names(PREFIX):
            if name != REQUEST % name.removeprefix(PREFIX).rpartition(":")[0]:
                continue
            (record,) = await self._cache.get(name)
            with contextlib.suppress(CannotOpen, msgspec.DecodeError):
                if record is not None:
                    yield msgspec.json.decode(self._vault.open(name, record), type=LoginRequest)

    async def extend(self, seconds: Mapping[str, float]) -> None:
        """Let the secrets of these login ids live for so many seconds from now on; one that has expired stays so."""
        lives = {}
        for login_id, life in seconds.items():
            lives[CIPHERTEXT % login_id] = lives[KEY % login_id] = life
            lives[REQUEST % login_id] = life + REQUEST_SECONDS
        await self._cache.extend(lives)

    async def expired(self, login_ids: Sequence[str]) -> set[str]:
        """Return those of the login ids whose secret is gone."""
        records = await self._cache.get(*(KEY % login_id for login_id in login_ids))
        return {login_id for login_id, record in zip(login_ids, records, strict=True) if record is None}

    async def discard(self, login_id: str) -> None:
        """Delete all that is stored of a login that ended."""
        with contextlib.suppress(CacheUnavailable):  # it expires
            await self._cache.delete(CIPHERTEXT % login_id, KEY % login_id, REQUEST % login_id)

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
            return client_id, self._vault.open_secret(ciphertext, key, seconds=MAX_SECRET_SECONDS)
        except (CannotOpen, msgspec.DecodeError):
            return None
