"""The intake: the one reader of the body of a log-in, which keeps the secret sealed and passes on the name of where.

It decides by `scope["path"]`, which is what routes decide by. The body stays in memory that is overwritten as soon as
the secret is sealed; nothing of it is ever part of an answer, a log line or an exception.
"""

import math
import secrets
from collections.abc import Callable, Mapping

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..deribit.auth import wipe
from ..errors import CacheUnavailable, RequestRefused
from .cache import Cache
from .limits import Limits, counted
from .vault import Vault

__all__ = ["LOGIN_PATH", "SECRET_SECONDS", "STATE", "CredentialMiddleware", "same_site"]

LOGIN_PATH = "/api/v1/persons/login"
#: The names under which ciphertext and key wait, and for how long.
CIPHERTEXT, KEY = "deribit:login:%s:secret", "deribit:login:%s:key"
SECRET_SECONDS = 15
BODY_BYTES = 8_192
BODY_SECONDS = 10.0
#: Under which key of the scope the handler finds the login and what its failures are counted by.
STATE = "cryptomarket.login"

_ID = 256
_ALLOWED = frozenset(range(0x21, 0x7F)) - {ord('"'), ord("\\")}


class _Body(msgspec.Struct):
    """``Raw`` is a view into the body: the secret becomes no text object."""

    client_id: str
    client_secret: msgspec.Raw


def same_site(headers: Mapping[str, str]) -> bool:
    """Whether the request comes from a page of ours, or from no page at all.

    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


class CredentialMiddleware:
    """ASGI middleware in front of the log-in; everything else passes untouched.

    ``problem`` makes the answer to a request that cannot be taken; ``address`` what a client is counted by.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cache: Cache,
        vault: Vault,
        limits: Limits,
        problem: Callable[[Request, Exception], Response],
        address: Callable[[str], str] = str,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._cache = cache
        self._vault = vault
        self._limits = limits
        self._problem = problem
        self._address = address
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the body of a log-in, pass everything else on."""
        if scope["type"] != "http" or scope["path"] != LOGIN_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            scope[STATE] = await self._take(request, receive)
        except (RequestRefused, CacheUnavailable) as exc:
            response = self._problem(request, exc)
            response.headers["Connection"] = "close"  # what was not read is not the next request
            await response(scope, receive, send)
            return
        await self._app(scope, _nothing_more, send)

    async def _take(self, request: Request, receive: Receive) -> tuple[str, str]:
        """Read, check and seal; the name of the login and what its failures are counted by."""
        _check_head(request)
        address = self._address(request.client.host if request.client else "")
        _wait(await self._limits.of_address(address))
        body = await self._read(receive)
        try:
            client_id, secret = _parse(body)
            try:
                who = counted(client_id, address)
                _wait(await self._limits.of_key(who))
                return await self._seal(client_id, secret), who
            finally:
                wipe(secret)
        finally:
            body[:] = bytes(len(body))

    async def _read(self, receive: Receive) -> bytearray:
        """The whole body in memory of ours; the server's pieces of it are overwritten."""
        body = bytearray(BODY_BYTES)
        size, more = 0, True
        try:
            with anyio.fail_after(self._body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestRefused(400, "the body ended early")
                    piece, more = message.get("body", b""), message.get("more_body", False)
                    fits = size + len(piece) <= BODY_BYTES
                    if fits:
                        with memoryview(body) as view:  # a slice of the bytearray itself would copy the piece first
                            view[size : size + len(piece)] = piece
                        size += len(piece)
                    message.clear()
                    wipe(piece)
                    if not fits:
                        raise RequestRefused(413, f"a log-in of at most {BODY_BYTES} bytes")
        except TimeoutError:
            body[:] = bytes(len(body))
            raise RequestRefused(408, f"the whole body within {self._body_seconds:g} seconds") from None
        except RequestRefused:
            body[:] = bytes(len(body))
            raise
        del body[size:]
        return body

    async def _seal(self, client_id: str, secret: bytearray) -> str:
        login = secrets.token_urlsafe(16)
        ciphertext, key = self._vault.close_secret(secret)
        # What belongs to the key travels with it, sealed: who holds the ciphertext alone does not know whose it is.
        wrapped = self._vault.seal(KEY % login, msgspec.json.encode((client_id, key)))
        await self._cache.put(CIPHERTEXT % login, ciphertext, SECRET_SECONDS)
        await self._cache.put(KEY % login, wrapped, SECRET_SECONDS)
        return login


def _check_head(request: Request) -> None:
    """Refuse, unread, what no page of ours sends."""
    headers = request.headers
    if not same_site(headers):
        raise RequestRefused(403, "a log-in from a page of this site")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "a body of type application/json")
    if headers.get("content-encoding", "identity") != "identity":
        raise RequestRefused(415, "a body without an encoding")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length) > BODY_BYTES:
        raise RequestRefused(413, f"a log-in of at most {BODY_BYTES} bytes")


def _parse(body: bytearray) -> tuple[str, bytearray]:
    """The key's id and its secret; the sentence of an error names the field and never shows it."""
    expected = 'an object {"client_id": "...", "client_secret": "..."}'
    try:
        found = msgspec.json.decode(body, type=_Body)
    except msgspec.ValidationError:
        raise RequestRefused(422, expected) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RequestRefused(400, expected) from None
    view = memoryview(found.client_secret)
    secret = bytearray(view[1:-1]) if view[:1].tobytes() == b'"' else bytearray()
    view.release()
    if not 0 < len(found.client_id) <= _ID or not found.client_id.isascii() or not found.client_id.isprintable():
        raise RequestRefused(422, f"client_id: 1 to {_ID} printable letters")
    if not 0 < len(secret) <= _ID or not _ALLOWED.issuperset(secret):
        wipe(secret)
        raise RequestRefused(422, f"client_secret: a text of 1 to {_ID} letters, as the exchange shows it")
    return found.client_id, secret


def _wait(seconds: float) -> None:
    if seconds > 0:
        raise RequestRefused(429, "fewer log-ins; wait before the next", retry_after=math.ceil(seconds))


async def _nothing_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
