"""Who makes a request: the browser session of its cookie, and the person of its cookie or bearer token."""

import re
import secrets
from collections.abc import Callable, Mapping

import structlog
from starlette.requests import Request

from ..errors import NotLoggedIn
from ..model import SessionChanged
from .browser_sessions import BrowserSessions, Person
from .notifications import LOGGED_OUT
from .vault import fingerprint

__all__ = ["Authenticator", "same_site"]

log = structlog.get_logger(__name__)

#: The cookie of a browser session; over TLS with the prefix that keeps other hosts of the domain from setting it.
COOKIE, SECURE_COOKIE = "cryptomarket_session", "__Host-cryptomarket_session"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def same_site(headers: Mapping[str, str]) -> bool:
    """Whether the request comes from a page of this site, or from a client that is not a page.

    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


class Authenticator:
    """Finds the browser session and the person of a request, and logs the person out."""

    def __init__(self, sessions: BrowserSessions, *, publish: Callable[[SessionChanged], None]) -> None:
        self._sessions = sessions
        self._publish = publish

    def browser_session(self, request: Request) -> tuple[str | None, Mapping[str, str]]:
        """Return the fingerprint of the request's browser session, and the headers that start one if it has none.

        A request from a page of another site gets (None, {}): such a page must not see a person's events.
        """
        if not same_site(request.headers):
            return None, {}
        known = _cookie(request)
        if known is not None:
            return fingerprint(known), {}
        name, value = _cookie_name(request), secrets.token_urlsafe(32)
        secure = "; Secure" if name == SECURE_COOKIE else ""
        return fingerprint(value), {"Set-Cookie": f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"}

    async def person(self, request: Request) -> Person:
        """Return the person of the bearer token, or without an Authorization header of the cookie.

        Raises NotLoggedIn, and CacheUnavailable. A token in the address is ignored: addresses are logged.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        person = None
        if scheme.lower() == "bearer":
            person = await self._sessions.person_of_token(token.strip())
        elif not scheme and same_site(request.headers) and (cookie := _cookie(request)) is not None:
            (person,) = await self._sessions.persons_of([fingerprint(cookie)])
        if person is None:
            raise NotLoggedIn("nobody is logged in here")
        return await self._sessions.record_use(person)

    async def log_out(self, person: Person) -> None:
        """Delete the person's login in all its browser sessions, and notify their streams."""
        sessions = await self._sessions.log_out(person.person_id)
        if sessions:  # a message without sessions makes every node read all of its sessions again
            self._publish(SessionChanged(sessions, LOGGED_OUT, "logged out"))
            log.info("person logged out", person=person.person_id)


def _cookie_name(request: Request) -> str:
    return SECURE_COOKIE if request.scope["scheme"] == "https" else COOKIE


def _cookie(request: Request) -> str | None:
    name, text = _cookie_name(request), request.headers.get("cookie", "")
    for pair in text.split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name and _COOKIE_VALUE.fullmatch(value):
            return value
    return None
