"""The cookie that names a browser session: a random id, and a MAC by which this site recognises it.

A cookie without our MAC is treated as none, so nobody can choose the session of another browser.
"""

import secrets
from collections.abc import Mapping

from starlette.requests import Request

from ..cookies import cookie_value
from ..public_site import PublicSite
from .keyring import Keyring
from .vault import fingerprint

__all__ = ["COOKIE", "SECURE_COOKIE", "SessionCookies"]

#: Over TLS it has the prefix that keeps other hosts of the domain from setting it.
COOKIE, SECURE_COOKIE = "cryptomarket_session", "__Host-cryptomarket_session"
_PURPOSE = "session cookie"
#: 32 random bytes in URL-safe base64; the MAC follows in hexadecimal.
_ID_LETTERS = 43
_LETTERS = _ID_LETTERS + 64


class SessionCookies:
    """Reads and makes the cookies of a site; sessions are named by `fingerprint`."""

    def __init__(self, keyring: Keyring, site: PublicSite) -> None:
        self._keyring = keyring
        self._site = site

    def session(self, request: Request) -> str | None:
        """Return the session that the request's cookie names, None without a cookie of ours."""
        name = SECURE_COOKIE if self._site.is_https(request.scope) else COOKIE
        value = cookie_value(request.headers.get("cookie", ""), name)
        if value is None or len(value) != _LETTERS or not value.isascii():
            return None
        try:
            mac = bytes.fromhex(value[_ID_LETTERS:])
        except ValueError:
            return None
        ours = self._keyring.verifies(_PURPOSE, value[:_ID_LETTERS].encode(), mac)
        return fingerprint(value) if ours else None

    def new(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Return a new session and the header that makes it the browser's."""
        random = secrets.token_urlsafe(32)
        value = random + self._keyring.sign(_PURPOSE, random.encode()).hex()
        https = self._site.is_https(request.scope)
        name, secure = (SECURE_COOKIE, "; Secure") if https else (COOKIE, "")
        return fingerprint(value), {"Set-Cookie": f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"}
