"""Security headers of every response, and cross-origin access to prices for the allowed origins.

Pages have no inline script or style and load nothing from other sites, so the content security policy forbids both.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HSTS", "CrossOrigin", "SecurityHeaders"]

_STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}

#: Only the one named Trusted Types policy of our own scripts may turn text into code.
_PAGES = {**_STRICT, "require-trusted-types-for": "'script'", "trusted-types": "cryptomarket"}

#: Swagger UI writes HTML itself, uses data: icons and has its own <style> elements.
_SWAGGER = {**_STRICT, "img-src": "'self' data:", "style-src": "'self' 'unsafe-inline'"}

_HEADERS = {
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

#: For a site that browsers reach over TLS only: they use no other way for a year. Names below it may be others' sites.
HSTS = {"Strict-Transport-Security": "max-age=31536000"}

#: Another site may read prices, the UDF datafeed, and the scripts that embed them. Persons are same-site only.
_SHARED = ("/api/v1/", "/udf/", "/static/")
_PRIVATE = ("/api/v1/persons",)


def _policy(policy: dict[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class SecurityHeaders:
    """Adds the headers to every response, also to those of errors, so it is the outermost layer.

    ``extra`` are further headers. A redirect keeps its path and query alone: routers build its host from the request.
    One to the address ``elsewhere`` stays as it is.
    """

    def __init__(self, app: ASGIApp, extra: Mapping[str, str] | None = None, elsewhere: str | None = None) -> None:
        self.app = app
        self._elsewhere = f"{elsewhere}?".encode() if elsewhere else None
        headers = {**_HEADERS, **(extra or {})}
        self._pages = _raw({**headers, "Content-Security-Policy": _policy(_PAGES)})
        self._swagger = _raw({**headers, "Content-Security-Policy": _policy(_SWAGGER)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers that the response does not set itself."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = self._swagger if scope["path"] == "/docs" else self._pages

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                if 300 <= message["status"] < 400:
                    own = [(name, self._location(value) if name == b"location" else value) for name, value in own]
                present = {name for name, _ in own}
                message["headers"] = [*own, *(h for h in headers if h[0] not in present)]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _location(self, value: bytes) -> bytes:
        stays = self._elsewhere is not None and value.startswith(self._elsewhere)
        return value if stays else _relative(value)


def _relative(location: bytes) -> bytes:
    """The path and query of an address; one slash begins it, since two would begin a host."""
    parts = urlsplit(location.decode("latin-1"))
    path = "/" + parts.path.lstrip("/\\")
    return (f"{path}?{parts.query}" if parts.query else path).encode("latin-1")


class CrossOrigin:
    """Lets pages of the allowed origins read prices. The stream sets its own headers; persons are never shared."""

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str]) -> None:
        self.app = app
        self._shared = CORSMiddleware(app, allow_origins=allowed_origins, allow_methods=["GET"], max_age=600)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer preflights and add the headers under the shared paths; pass everything else on."""
        path = scope.get("path", "")
        shared = scope["type"] == "http" and path.startswith(_SHARED) and not path.startswith(_PRIVATE)
        await (self._shared if shared else self.app)(scope, receive, send)
