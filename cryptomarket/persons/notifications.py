"""News for persons: what one browser session is told on its streams, and nobody else.

The bus says only that there is something; each node looks for itself what is true of the sessions whose streams it
has, and makes their tokens. A session without a stream finds its news when it comes.
"""

import contextlib
import time
from collections.abc import Callable

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable
from ..model import Message, SessionChanged
from .browser_sessions import BrowserSessions, Person
from .cache import Cache
from .vault import Vault

__all__ = ["LOGGED_OUT", "LOGIN_FAILED", "PERSON_CHANGED", "Claims", "Notifier", "keep_word"]

log = structlog.get_logger(__name__)

PERSON_CHANGED, LOGIN_FAILED, LOGGED_OUT = "person", "login_failed", "logged_out"
EXPIRED = "expired: log in again"

#: The last word to a session that had no stream, and how long it waits for one.
WORD = "deribit:word:%s"
WORD_SECONDS = 60
#: Sessions looked up with one command.
BATCH = 500
#: How often those who stay are looked at: expiry is told within this.
LOOK_SECONDS = 0.5
#: How often everybody is looked up again, in case a word of the bus was lost.
CHECK_SECONDS = 30.0


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a session token says: whose, of which browser session, by which log-in."""

    person_id: str
    session: str
    login: str


async def keep_word(cache: Cache, session: str, reason: str) -> None:
    """Keep the outcome of a log-in for a stream that comes later."""
    await cache.put(WORD % session, reason.encode(), WORD_SECONDS)


def _json(**fields: object) -> str:
    return msgspec.json.encode(fields).decode()


class Notifier:
    """Tells the streams of this node what concerns their person.

    ``send`` gives a text to all streams of a session and says how many they are; ``present`` says whether it has any,
    ``everybody`` which sessions have.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        sessions: BrowserSessions,
        *,
        send: Callable[[str, str], int],
        present: Callable[[str], bool],
        everybody: Callable[[], list[str]] = list,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._sessions = sessions
        self._send = send
        self._present = present
        self._everybody = everybody
        self._monotonic = monotonic
        self._wall = wall
        self._checked = monotonic()
        #: Sessions to look up, and whether they were told already how a log-in ended.
        self._news: dict[str, bool] = {}
        self._told: dict[str, Person] = {}
        self._wake_up = anyio.Event()
        self._trouble = False

    def on_message(self, message: Message) -> None:
        """Take what the bus delivers; sessions without a stream here are no business of this node.

        An end is told at once, whether the cache answers or not; who is logged in has to be looked up.
        """
        if not isinstance(message, SessionChanged):
            return
        if not message.sessions:
            self._doubt()
        for session in message.sessions:
            if not self._present(session):
                continue
            ended = message.kind != PERSON_CHANGED
            if ended:
                self._send(session, _json(kind=message.kind, reason=message.reason))
            self._news[session] = ended or self._news.get(session, False)
            self._wake_up.set()

    def _doubt(self) -> None:
        """News may have been lost: look up all who are not known to be logged in; of the others the end is checked."""
        for session in self._everybody():
            if session not in self._told:
                self._news.setdefault(session, False)
        self._wake_up.set()

    def arrived(self, session: str) -> None:
        """A stream of the session opened: it gets the present state of its person."""
        self._news.setdefault(session, False)
        self._wake_up.set()

    def statistics(self) -> dict[str, int]:
        """How many sessions with a stream here are logged in."""
        return {"sessions": len(self._told)}

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Tell the news until cancelled; a cache that does not answer delays them."""
        task_status.started()
        while True:
            try:
                while self._news:
                    await self._tell(list(self._news)[:BATCH])
                await self._look()
                self._say(False)
            except CacheUnavailable as exc:
                self._say(True, str(exc))
                await anyio.sleep(LOOK_SECONDS)
            with anyio.move_on_after(LOOK_SECONDS if self._told or self._news else None):
                await self._wake_up.wait()
            self._wake_up = anyio.Event()

    def _say(self, trouble: bool, why: str = "") -> None:
        if trouble is not self._trouble:
            self._trouble = trouble
            if trouble:
                log.warning("news for persons wait for the cache", reason=why)
            else:
                log.info("news for persons flow again")

    async def _tell(self, sessions: list[str]) -> None:
        # Taken out first: what arrives while the cache is asked is told with the next look.
        taken = {session: self._news.pop(session) for session in sessions}
        try:
            persons = await self._sessions.of_sessions(sessions)
            words = await self._cache.get(*(WORD % session for session in sessions))
        except CacheUnavailable:
            self._news = taken | self._news
            raise
        for (session, told), person, word in zip(taken.items(), persons, words, strict=True):
            self._found(session, person)
            if word is not None and self._present(session):
                with contextlib.suppress(CacheUnavailable):  # it ends by itself
                    await self._cache.delete(WORD % session)
                if not told:
                    self._send(session, _json(kind=LOGIN_FAILED, reason=word.decode()))

    def _found(self, session: str, person: Person | None) -> None:
        if person is None:
            self._told.pop(session, None)
        else:
            self._greet(session, person)

    def _greet(self, session: str, person: Person) -> None:
        """Who is logged in, and a fresh token for it."""
        claims = Claims(person.person_id, session, person.sessions[session])
        event = _json(
            kind=PERSON_CHANGED,
            person_id=person.person_id,
            username=person.username,
            email=person.email,
            token=self._vault.token(msgspec.json.encode(claims)),
            expires_at=person.expires_at,
            scope=person.scope,
        )
        if self._send(session, event):
            self._told[session] = person

    async def _look(self) -> None:
        """Note who is still here, and tell those whose login has ended without news of it."""
        now = self._wall()
        self._told = {session: person for session, person in self._told.items() if self._present(session)}
        for person in list(self._told.values()):
            await self._sessions.note(person.person_id)
        due = self._monotonic() - self._checked >= CHECK_SECONDS
        doubtful = [session for session, person in self._told.items() if due or person.expires_at <= now]
        if due:
            self._checked = self._monotonic()
        for session, found in zip(doubtful, await self._sessions.of_sessions(doubtful), strict=True):
            if found is None and self._told.pop(session, None) is not None:
                self._send(session, _json(kind=LOGGED_OUT, reason=EXPIRED))
            elif found is not None:
                self._told[session] = found
