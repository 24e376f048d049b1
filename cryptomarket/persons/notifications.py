"""Sends to browser sessions what concerns their person: events of the channel `connection`.

A message between nodes names only the sessions that changed. Each node reads the state of those that have streams
here and makes their tokens. The failure of a login is kept for a minute for a session without a stream.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable
from ..model import Message, SessionChanged
from .browser_sessions import PERSON_CHANGED, BrowserSessions
from .cache import Cache
from .events import LoggedOutEvent, LoginFailedEvent, PersonEvent
from .person import Person
from .vault import CannotOpen, Vault

__all__ = [
    "ENDED_BY_PERSON",
    "EVICTED",
    "FORGOTTEN",
    "LOGGED_OUT",
    "LOGIN_FAILED",
    "REPLACED",
    "LoginFailures",
    "Notifier",
    "NotifierStatistics",
]

log = structlog.get_logger(__name__)

LOGIN_FAILED, LOGGED_OUT = "login_failed", "logged_out"
EXPIRED = "expired: log in again"
EVICTED = "you logged in with too many browsers: the oldest login ended"
REPLACED = "a new log-in with this browser ended this one"
ENDED_BY_PERSON = "you ended the login of this browser"
FORGOTTEN = "the operator of this site deleted your record"

#: The failure of a login, how long it is kept for the first stream of its session, and then for others.
FAILURE = "deribit:failure:%s"
FAILURE_SECONDS = 60
FAILURE_REPEATED_SECONDS = 5
#: Sessions read with one command.
BATCH = 500
#: The interval between looks at logins that are over; the longest delay before an expiry is sent.
POLL_SECONDS = 0.5
#: The interval between reads of all logins shown here, in case a message about one was lost.
RECHECK_SECONDS = 30.0


class LoginFailures:
    """Tells a browser session why its login failed, now or when its next stream opens."""

    def __init__(self, cache: Cache, vault: Vault, *, publish: Callable[[SessionChanged], None]) -> None:
        self._cache = cache
        self._vault = vault
        self._publish = publish

    async def notify(self, session: str, reason: str) -> None:
        """Publish the failure and keep it for a minute; ``reason`` is the sentence that the person reads."""
        self._publish(SessionChanged((session,), LOGIN_FAILED, reason))
        with contextlib.suppress(CacheUnavailable):  # open streams receive it all the same
            await self._keep(session, reason, FAILURE_SECONDS)

    async def kept(self, sessions: list[str]) -> list[str | None]:
        """Return the reason kept for each session. Raises CacheUnavailable."""
        records = await self._cache.get(*(FAILURE % session for session in sessions))
        return [self._reason(session, record) for session, record in zip(sessions, records, strict=True)]

    async def sent(self, session: str, reason: str) -> None:
        """Keep the reason for some seconds more: tabs of a browser open the streams of a new session one by one."""
        with contextlib.suppress(CacheUnavailable):  # it expires
            await self._keep(session, reason, FAILURE_REPEATED_SECONDS)

    async def _keep(self, session: str, reason: str, seconds: float) -> None:
        name = FAILURE % session
        await self._cache.put(name, self._vault.seal(name, reason.encode()), seconds)

    def _reason(self, session: str, record: bytes | None) -> str | None:
        """The sentence of a record; None for one that no node made, which a person must not read as ours."""
        try:
            return None if record is None else self._vault.open(FAILURE % session, record).decode()
        except CannotOpen:
            return None


@dataclass(frozen=True, slots=True)
class NotifierStatistics:
    """``sessions``: browser sessions with a stream here that are logged in."""

    sessions: int


class Notifier:
    """Sends events to the streams of this node.

    ``send`` writes a text to all streams of a session and returns how many they are; ``has_streams`` returns whether a
    session has any, ``open_sessions`` which have.
    """

    def __init__(
        self,
        sessions: BrowserSessions,
        failures: LoginFailures,
        *,
        send: Callable[[str, str], int],
        has_streams: Callable[[str], bool],
        open_sessions: Callable[[], list[str]],
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._sessions = sessions
        self._failures = failures
        self._send_text = send
        self._has_streams = has_streams
        self._open_sessions = open_sessions
        self._monotonic = monotonic
        self._wall = wall
        self._rechecked = monotonic()
        #: Sessions to read, and whether the end of their login was sent already.
        self._pending: dict[str, bool] = {}
        #: The person last sent to each session that is logged in.
        self._shown: dict[str, Person] = {}
        self._wake_up = anyio.Event()
        self._delayed = False

    def on_message(self, message: Message) -> None:
        """Queue the sessions of the message that have streams here.

        The end of a login is sent at once, whether the cache answers or not; a person has to be read first. A message
        without sessions says that messages may have been lost.
        """
        if not isinstance(message, SessionChanged):
            return
        if not message.sessions:
            for session in self._open_sessions():
                if session not in self._shown:  # of those shown as logged in, every recheck finds the end
                    self.stream_opened(session)
        for session in message.sessions:
            if not self._has_streams(session):
                continue
            ended = message.kind != PERSON_CHANGED
            if ended:
                event = LoginFailedEvent if message.kind == LOGIN_FAILED else LoggedOutEvent
                self._send(session, event(message.reason))
            self._pending[session] = ended or self._pending.get(session, False)
            self._wake_up.set()

    def stream_opened(self, session: str) -> None:
        """Queue the session of a new stream, which receives the state of its person."""
        self._pending.setdefault(session, False)
        self._wake_up.set()

    def statistics(self) -> NotifierStatistics:
        """How many sessions are logged in."""
        return NotifierStatistics(len(self._shown))

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send queued events until cancelled; while the cache does not answer they wait."""
        task_status.started()
        while True:
            try:
                while self._pending:
                    await self._send_pending(list(self._pending)[:BATCH])
                await self._send_expired()
                self._log_delay(None)
            except CacheUnavailable as exc:
                self._log_delay(exc)
                await anyio.sleep(self._poll_seconds)
            with anyio.move_on_after(self._poll_seconds if self._shown or self._pending else None):
                await self._wake_up.wait()
            self._wake_up = anyio.Event()

    def _log_delay(self, error: CacheUnavailable | None) -> None:
        if error is not None and not self._delayed:
            log.warning("session notifications delayed", reason=str(error))
        elif error is None and self._delayed:
            log.info("session notifications restored")
        self._delayed = error is not None

    async def _send_pending(self, sessions: list[str]) -> None:
        # Taken out before the reads, so that a change during them is read again.
        taken = {session: self._pending.pop(session) for session in sessions}
        try:
            persons = await self._sessions.persons_of(sessions)
            failures = await self._failures.kept(sessions)
        except CacheUnavailable:
            self._pending = taken | self._pending
            raise
        for (session, end_sent), person, failure in zip(taken.items(), persons, failures, strict=True):
            if person is None:
                self._shown.pop(session, None)
            else:
                self._send_person(session, person)
            if failure is not None and self._has_streams(session):
                await self._failures.sent(session, failure)
                if not end_sent:
                    self._send(session, LoginFailedEvent(failure))

    def _send_person(self, session: str, person: Person) -> None:
        """Send who is logged in, with a new token."""
        token = self._sessions.token(person, session)
        event = PersonEvent(
            person.person_id,
            person.username,
            person.email,
            token,
            person.expires_at,
            person.scope,
            person.problem or msgspec.UNSET,
        )
        if self._send(session, event):
            self._shown[session] = person

    def _send(self, session: str, event: PersonEvent | LoginFailedEvent | LoggedOutEvent) -> int:
        return self._send_text(session, msgspec.json.encode(event).decode())

    async def _send_expired(self) -> None:
        """Extend the logins shown here, and send ends and changes of logins of which no message came."""
        now = self._wall()
        self._shown = {session: person for session, person in self._shown.items() if self._has_streams(session)}
        for session, person in list(self._shown.items()):
            noted = await self._sessions.record_use(person, session)
            if _end(noted) == _end(person) and session in noted.sessions:
                self._shown[session] = noted
            else:
                self.stream_opened(session)
        recheck = self._monotonic() - self._rechecked >= RECHECK_SECONDS
        if recheck:
            self._rechecked = self._monotonic()
        doubtful = [session for session, person in self._shown.items() if recheck or person.expires_at <= now]
        for session, found in zip(doubtful, await self._sessions.persons_of(doubtful), strict=True):
            if found is None and self._shown.pop(session, None) is not None:
                self._send(session, LoggedOutEvent(EXPIRED))
            elif found is not None and _end(found) != _end(self._shown[session]):
                self._send_person(session, found)


def _end(person: Person) -> tuple[int, str]:
    return person.expires_at, person.problem
