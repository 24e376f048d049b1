"""The only reader of a login's request body: it encrypts the secret and passes on the login id.

It matches `scope["path"]`, as the routes do. The body is read into memory that is overwritten as soon as the secret is
encrypted; no part of it appears in a response, a log line or an exception.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anyio
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..addresses import AddressCounts, address_groups
from ..deribit.auth import is_private_key, private_key, wipe
from ..deribit.coinbase import is_cdp_key
from ..errors import CacheUnavailable, RequestRefused
from .limits import LoginLimits
from .login_secrets import LoginSecrets

__all__ = ["LOGIN_PATH", "STATE", "AcceptedLogin", "CredentialMiddleware"]

LOGIN_PATH = "/api/v1/persons/login"
#: The key of the request's scope under which the route finds the AcceptedLogin.
STATE = "cryptomarket.login"
#: Bounds what a client can make the server hold, and for how long.
BODY_BYTES = 4_096
BODY_SECONDS = 10.0
#: Bodies of one address that are read at once: who sends them slowly keeps places of their own address only.
BODIES_PER_ADDRESS = 4
#: A key of Coinbase is a private key that signs anew every 15 minutes: it would have to stay here.
CDP_KEY = "a Deribit key: one of Coinbase would have to stay here to renew the login; log in through Coinbase instead"
KEY_PAIR = "client_secret: of a key pair the Ed25519 private key in PEM, without a password"
TOO_MANY = "fewer log-ins; wait before the next"

_MAX_LENGTH = 256
_SECRET_BYTES = frozenset(range(0x21, 0x7F)) - {ord('"'), ord("\\")}


@dataclass(frozen=True, slots=True)
class AcceptedLogin:
    """The id under which the secret is stored, what stands for the client id, and the browser's address."""

    login_id: str
    client: str
    address: str


class _Body(msgspec.Struct):
    """``Raw`` is a view into the body, so that the secret does not become a `str`, which cannot be overwritten."""

    client_id: str
    client_secret: msgspec.Raw


class CredentialMiddleware:
    """ASGI middleware before the login route; every other request passes unchanged.

    ``problem`` makes the response to a refused request; ``same_site`` returns whether a request, given by its scope,
    may come from a page of this site.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        login_secrets: LoginSecrets,
        limits: LoginLimits,
        problem: Callable[[Request, Exception], Response],
        same_site: Callable[[Scope], bool],
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._login_secrets = login_secrets
        self._limits = limits
        self._problem = problem
        self._same_site = same_site
        self._body_seconds = body_seconds
        #: How many bodies of each group of addresses are being read.
        self._reading = AddressCounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store the credentials of a login and call the route with an empty body."""
        if scope["type"] != "http" or scope["path"] != LOGIN_PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            scope[STATE] = await self._accept(request, receive)
        except (RequestRefused, CacheUnavailable) as exc:
            response = self._problem(request, exc)
            response.headers["Connection"] = "close"  # the unread rest of the body must not become the next request
            await response(scope, receive, send)
            return
        await self._app(scope, _empty_body, send)

    async def _accept(self, request: Request, receive: Receive) -> AcceptedLogin:
        if not self._same_site(request.scope):
            raise RequestRefused(403, "a log-in from a page of this site", reason="origin")
        _check_head(request)
        address = request.client.host if request.client else ""
        _check_delay(await self._limits.count_login(address))
        with self._one_more_body(address):
            body = await self._read(receive)
        try:
            client_id, secret = _parse(body)
            try:
                client = self._limits.client(client_id)
                _check_delay(await self._limits.delay(client, address))
                return AcceptedLogin(await self._login_secrets.put(client_id, secret), client, address)
            finally:
                wipe(secret)
        finally:
            wipe(body)

    @contextlib.contextmanager
    def _one_more_body(self, address: str) -> Iterator[None]:
        """Count a body that is being read. Raises RequestRefused when its address has too many."""
        groups = address_groups(address)
        if self._reading.full(groups, BODIES_PER_ADDRESS) is not None:
            raise RequestRefused(429, TOO_MANY, retry_after=1)
        self._reading.add(groups)
        try:
            yield
        finally:
            self._reading.remove(groups)

    async def _read(self, receive: Receive) -> bytearray:
        """Return the whole body; the server's chunks of it are overwritten."""
        body = bytearray(BODY_BYTES)
        size, more = 0, True
        try:
            with anyio.fail_after(self._body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestRefused(400, "the body ended early")
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    fits = size + len(chunk) <= BODY_BYTES
                    if fits:
                        with memoryview(body) as view:  # assigning to a slice of the bytearray copies the chunk first
                            view[size : size + len(chunk)] = chunk
                        size += len(chunk)
                    message.clear()
                    wipe(chunk)
                    if not fits:
                        raise RequestRefused(413, f"a log-in of at most {BODY_BYTES} bytes")
        except TimeoutError:
            wipe(body)
            raise RequestRefused(408, f"the whole body within {self._body_seconds:g} seconds") from None
        except RequestRefused:
            wipe(body)
            raise
        del body[size:]
        return body


def _check_head(request: Request) -> None:
    """Raise RequestRefused, before the body is read, for what no page of this site sends."""
    headers = request.headers
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "a body of type application/json")
    if headers.get("content-encoding", "identity") != "identity":
        raise RequestRefused(415, "a body without an encoding")
    length = headers.get("content-length", "0")
    # A number of very many digits raises ValueError, which other servers than ours do not refuse before.
    if len(length) > 8 or not length.isascii() or not length.isdigit() or int(length) > BODY_BYTES:
        raise RequestRefused(413, f"a log-in of at most {BODY_BYTES} bytes")


def _parse(body: bytearray) -> tuple[str, bytearray]:
    """Return client id and secret. Raises RequestRefused, which names the field and never its value."""
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
    client_id = found.client_id
    if not 0 < len(client_id) <= _MAX_LENGTH or not client_id.isascii() or not client_id.isprintable():
        raise RequestRefused(422, f"client_id: 1 to {_MAX_LENGTH} printable letters")
    if is_cdp_key(client_id):
        wipe(secret)
        raise RequestRefused(422, CDP_KEY)
    if is_private_key(secret):
        return client_id, _usable_key(secret)
    if not 0 < len(secret) <= _MAX_LENGTH or not _SECRET_BYTES.issuperset(secret):
        wipe(secret)
        raise RequestRefused(422, f"client_secret: a text of 1 to {_MAX_LENGTH} letters, as the exchange shows it")
    return client_id, secret


def _usable_key(pem: bytearray) -> bytearray:
    """Return an Ed25519 key without its line breaks, which JSON escapes; overwrites ``pem``. Raises RequestRefused.

    RSA keys are refused: to check one takes up to 0.35 s of the leader, and one that is not checked can hang it.
    """
    key = bytearray(len(pem))
    size, escaped = 0, False
    for letter in pem:
        escape = letter == ord("\\") and not escaped
        if not escape and not (escaped and letter in b"nr"):
            key[size] = letter
            size += 1
        escaped = escape
    wipe(pem)
    del key[size:]
    try:
        if size <= _MAX_LENGTH and isinstance(private_key(key), Ed25519PrivateKey):
            return key
    except ValueError:
        pass
    wipe(key)
    raise RequestRefused(422, KEY_PAIR)


def _check_delay(seconds: float) -> None:
    if seconds > 0:
        raise RequestRefused(429, TOO_MANY, retry_after=math.ceil(seconds))


async def _empty_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
