"""What any node does for persons: knows browsers by their cookie, takes log-ins, answers for who is logged in.

What needs the exchange goes to the leader over the desk.
"""

import contextlib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from starlette.requests import Request

from ..errors import CacheUnavailable, NoLeader, NotLoggedIn, RequestRefused
from ..model import SessionChanged
from .browser_sessions import LIFE_SECONDS, BrowserSessions, Person
from .cache import Cache
from .credential_middleware import SECRET_SECONDS, STATE, same_site
from .leader_worker import Account, LeaderReply, LeaderRequest
from .notifications import LOGGED_OUT, LOGIN_FAILED, Claims, keep_word
from .vault import CannotOpen, Vault, fingerprint

__all__ = ["Ask", "Front"]

log = structlog.get_logger(__name__)

#: The cookie of a browser session; over TLS under a name that no other site of the domain can set.
COOKIE, SECURE_COOKIE = "cryptomarket_session", "__Host-cryptomarket_session"
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
#: Log-ins that wait here for the leader.
MOST_WAITING = 1_000
#: How long the leader may take for a log-in, and for a call.
LOGIN_SECONDS, CALL_SECONDS = float(SECRET_SECONDS), 10.0
UNANSWERED = "nobody could take the log-in in time: try again"


class Ask(Protocol):
    """Puts an errand on the desk; raises NoLeader when nobody answers in time."""

    async def __call__(self, body: bytes, *, seconds: float) -> bytes: ...


class Front:
    """One node's counter for persons; ``ask`` is the desk, ``publish`` the bus, ``led`` whether somebody leads."""

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        sessions: BrowserSessions,
        *,
        ask: Ask,
        publish: Callable[[SessionChanged], None],
        led: Callable[[], bool] = lambda: True,
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._sessions = sessions
        self._ask = ask
        self._publish = publish
        self._led = led
        self._send, self._receive = anyio.create_memory_object_stream[LeaderRequest](MOST_WAITING)

    # Browsers

    def browser(self, request: Request) -> tuple[str | None, Mapping[str, str]]:
        """The browser session of a request by its fingerprint, and a header that begins one where there is none.

        A page of another site gets neither: what persons see is for pages of this site.
        """
        if not same_site(request.headers):
            return None, {}
        name = SECURE_COOKIE if request.scope["scheme"] == "https" else COOKIE
        known = _cookie(request, name)
        if known is not None:
            return fingerprint(known), {}
        fresh = secrets.token_urlsafe(32)
        secure = "; Secure" if name == SECURE_COOKIE else ""
        return fingerprint(fresh), {"Set-Cookie": f"{name}={fresh}; Path=/; HttpOnly; SameSite=Lax{secure}"}

    async def person(self, request: Request) -> Person:
        """Who makes the request, by token or cookie; raises NotLoggedIn. A token is never taken from an address."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme:
            session, login = self._of_token(token) if scheme.lower() == "bearer" else (None, None)
        else:
            name = SECURE_COOKIE if request.scope["scheme"] == "https" else COOKIE
            cookie = _cookie(request, name) if same_site(request.headers) else None
            session, login = fingerprint(cookie) if cookie else None, None
        if session is not None:
            (person,) = await self._sessions.of_sessions([session])
            if person is not None and login in (None, person.sessions[session]):
                await self._sessions.note(person.person_id)
                return person
        raise NotLoggedIn("nobody is logged in here")

    def _of_token(self, token: str) -> tuple[str | None, str | None]:
        try:
            claims = msgspec.json.decode(self._vault.claims(token.strip(), seconds=LIFE_SECONDS), type=Claims)
        except (CannotOpen, msgspec.DecodeError):
            return None, None
        return claims.session, claims.login

    # What they ask for

    def take_login(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Send the log-in that the intake took on its way; its name, and headers for the answer.

        Raises NoLeader while there is nobody to take it; what the intake sealed ends by itself.
        """
        if not self._led():
            raise NoLeader("no node leads now")
        login, who = request.scope[STATE]
        session, headers = self.browser(request)
        if session is None:
            raise RequestRefused(403, "a log-in from a page of this site")
        try:
            self._send.send_nowait(LeaderRequest("login", login=login, session=session, who=who))
        except anyio.WouldBlock:
            raise RequestRefused(503, "fewer log-ins at once", retry_after=SECRET_SECONDS) from None
        return login, headers

    async def accounts(self, person: Person) -> list[Account]:
        """What the person has, by currency; raises NotLoggedIn, NoLeader, RequestRefused."""
        request = msgspec.json.encode(LeaderRequest("account", person_id=person.person_id))
        answer = msgspec.json.decode(await self._ask(request, seconds=CALL_SECONDS), type=LeaderReply)
        if answer.gone:
            raise NotLoggedIn("the exchange ended this login")
        if answer.accounts is None:
            raise RequestRefused(503, f"an answer of the exchange, but {answer.failed}", retry_after=10)
        return answer.accounts

    async def log_out(self, person: Person) -> None:
        """Forget the person on every node, and tell its streams."""
        sessions = await self._sessions.end(person.person_id)
        self._publish(SessionChanged(sessions, LOGGED_OUT, "logged out"))
        log.info("logged out", person=person.person_id)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Carry log-ins to the leader until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                tasks.start_soon(self._carry, await self._receive.receive())

    async def _carry(self, request: LeaderRequest) -> None:
        try:
            await self._ask(msgspec.json.encode(request), seconds=LOGIN_SECONDS)
        except (NoLeader, CacheUnavailable) as exc:
            log.warning("a log-in found no leader", reason=str(exc))
            self._publish(SessionChanged((request.session,), LOGIN_FAILED, UNANSWERED))
            with contextlib.suppress(CacheUnavailable):  # who has a stream open was told
                await keep_word(self._cache, request.session, UNANSWERED)


def _cookie(request: Request, name: str) -> str | None:
    text = request.headers.get("cookie")
    if text is None or name not in text:
        return None
    for pair in text.split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name and _COOKIE.fullmatch(value):
            return value
    return None
