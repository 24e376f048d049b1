"""Who makes a request: the browser session of its cookie, and the person of its cookie or bearer token."""

from collections.abc import Callable, Mapping

import structlog
from starlette.requests import Request

from ..errors import CacheUnavailable, NotLoggedIn, RequestRefused
from ..model import SessionChanged
from ..public_site import PublicSite
from .browser_sessions import BrowserSessions
from .notifications import ENDED_BY_PERSON, LOGGED_OUT, REPLACED
from .person import Person
from .session_cookies import SessionCookies

__all__ = ["Authenticator"]

log = structlog.get_logger(__name__)


class Authenticator:
    """Finds the browser session and the person of a request, and ends logins."""

    def __init__(
        self,
        sessions: BrowserSessions,
        cookies: SessionCookies,
        site: PublicSite,
        *,
        publish: Callable[[SessionChanged], None],
    ) -> None:
        self._sessions = sessions
        self._cookies = cookies
        self._site = site
        self._publish = publish

    def browser_session(self, request: Request) -> tuple[str | None, Mapping[str, str]]:
        """Return the fingerprint of the request's browser session, and the headers that start one if it has none.

        A request from a page of another site gets (None, {}): such a page must not see a person's events.
        """
        if not self._site.same_site(request.scope):
            return None, {}
        known = self._cookies.session(request)
        return (known, {}) if known is not None else self._cookies.new(request)

    def new_session(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Return a new browser session, and the headers that put it in the place of the browser's own.

        Raises RequestRefused for a request from a page of another site.
        """
        if not self._site.same_site(request.scope):
            raise RequestRefused(403, f"a request from a page of {self._site.origin or 'this site'}", reason="origin")
        return self._cookies.new(request)

    def own_session(self, request: Request) -> str | None:
        """Return the browser session of the cookie, whatever page the request comes from; None without one of ours."""
        return self._cookies.session(request)

    def next_session(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Return a new browser session and its headers, for a request that another site redirected here."""
        return self._cookies.new(request)

    def origin(self, request: Request) -> str:
        """Return the scheme, host and port by which the browser of this request knows the site."""
        return self._site.origin_of(request.scope)

    async def leave_session(self, request: Request) -> None:
        """End the login of the browser session that the request comes with, since the browser gets a new one."""
        session = self._cookies.session(request)
        if session is None:
            return
        try:
            if await self._sessions.end(session):
                self._publish(SessionChanged((session,), LOGGED_OUT, REPLACED))
        except CacheUnavailable:
            log.warning("login of a replaced browser session not ended")

    async def person(self, request: Request) -> Person:
        """Return the person of `login`."""
        return (await self.login(request))[0]

    async def login(self, request: Request) -> tuple[Person, str]:
        """Return the person and the browser session of the bearer token, or without an Authorization header the cookie.

        Raises NotLoggedIn, and CacheUnavailable. A token in the address is ignored: addresses are logged.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found: tuple[Person, str] | None = None
        if scheme.lower() == "bearer":
            found = await self._sessions.person_of_token(token.strip())
        elif not scheme and self._site.same_site(request.scope) and (session := self._cookies.session(request)):
            (person,) = await self._sessions.persons_of([session])
            found = (person, session) if person else None
        if found is None:
            raise NotLoggedIn("nobody is logged in here")
        person, session = found
        return await self._sessions.record_use(person, session), session

    async def log_out(self, person: Person) -> None:
        """Delete the person's login in all its browser sessions, and notify their streams."""
        sessions = await self._sessions.log_out(person.person_id)
        if sessions:  # a message without sessions makes every node read all of its sessions again
            self._publish(SessionChanged(sessions, LOGGED_OUT, "logged out"))
            log.info("person logged out", person=person.person_id)

    async def end_session(self, person: Person, public_id: str) -> str | None:
        """End the person's login of that public id; return its browser session, None if there is no such login."""
        for session, login in person.sessions.items():
            if login.public_id == public_id:
                if await self._sessions.end(session):
                    self._publish(SessionChanged((session,), LOGGED_OUT, ENDED_BY_PERSON))
                    log.info("browser session ended", person=person.person_id)
                return session
        return None
