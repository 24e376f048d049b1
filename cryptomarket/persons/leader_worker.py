"""What the leader does for persons, wherever it was asked: log-ins, accounts, tokens that are kept fresh.

It answers errands of the desk and tells news on the bus. Each person's calls carry that person's token. One person's
failure is told to that person and is nobody else's.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..deribit.auth import READ_ONLY_SCOPE, Grant, excess_rights
from ..deribit.error_codes import error_code
from ..errors import CacheUnavailable, ExchangeError, ExchangeRefused, ExchangeUnreachable, InternalError
from ..model import SessionChanged
from .browser_sessions import LIFE_SECONDS, BrowserSessions, Person, Tokens
from .cache import Cache
from .failure_throttle import FailureThrottle
from .login_flow import NO_ANSWER, OUR_FAULT, Call, LoginFailed, LoginFlow, reason_of
from .notifications import LOGIN_FAILED, PERSON_CHANGED, keep_word

__all__ = ["Account", "LeaderReply", "LeaderRequest", "LeaderWorker"]

log = structlog.get_logger(__name__)

#: Balances are asked of the exchange so often at most, however many tabs show them.
ACCOUNT_SECONDS = 5.0
#: How much of a token's life passes before it is renewed.
FRESH_SHARE = 0.8
#: However often it is renewed, a log-in ends after so many seconds.
LONGEST_SECONDS = 7 * 86_400
#: How often tokens are looked at, and how long after a failure one is tried again.
LOOK_SECONDS = 5.0
RETRY_SECONDS = 60.0
ENDED = "expired: the exchange ended this login; log in again"


class LeaderRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked of the leader: a log-in by its name in the cache, or the account of a person."""

    kind: str
    login: str = ""
    session: str = ""
    who: str = ""
    person_id: str = ""


class Account(msgspec.Struct, frozen=True):
    """What a person has of one currency, in the exchange's own digits."""

    currency: str
    equity: msgspec.Raw
    balance: msgspec.Raw
    available_funds: msgspec.Raw


class LeaderReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What comes back: accounts, or why there are none. ``gone`` says that the person is not logged in any more."""

    accounts: list[Account] | None = None
    failed: str = ""
    gone: bool = False


class _Summaries(msgspec.Struct):
    summaries: list[Account]


class LeaderWorker:
    """The leader's service to persons.

    ``call`` reaches the exchange, ``publish`` the bus; ``met`` is told of everybody who logs in.
    """

    def __init__(
        self,
        call: Call,
        cache: Cache,
        sessions: BrowserSessions,
        login: LoginFlow,
        *,
        publish: Callable[[SessionChanged], None],
        met: Callable[[Person], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._call = call
        self._cache = cache
        self._sessions = sessions
        self._login = login
        self._publish = publish
        self._met = met
        self._monotonic = monotonic
        self._wall = wall
        self._look_seconds = look_seconds
        self._patience = FailureThrottle(monotonic=monotonic)
        self._due: dict[str, float] = {}
        self._accounts: dict[str, tuple[float, list[Account]]] = {}
        self.counts = dict.fromkeys(("logged_in", "failed", "refreshed", "ended"), 0)

    def statistics(self) -> dict[str, int]:
        """What was done so far, and for how many persons tokens are kept."""
        return {**self.counts, "persons": len(self._due)}

    async def handle(self, request: bytes) -> bytes:
        """Do one errand of the desk."""
        asked = msgspec.json.decode(request, type=LeaderRequest)
        if asked.kind == "login":
            await self._log_in(asked)
            return b"{}"
        return msgspec.json.encode(await self._account(asked.person_id))

    # Log-ins

    async def _log_in(self, asked: LeaderRequest) -> None:
        try:
            await self._patience.wait()
            person = await self._login.log_in(asked.login, asked.session, asked.who)
        except (LoginFailed, CacheUnavailable) as exc:
            if await self._entered(asked):
                return
            await self._tell_failure(asked.session, str(exc) if isinstance(exc, LoginFailed) else NO_ANSWER)
            return
        except InternalError:
            log.exception("login failed, internal error")
            await self._tell_failure(asked.session, OUR_FAULT)
            return
        self.counts["logged_in"] += 1
        self._note_due(person)
        self._accounts.pop(person.person_id, None)
        self._met(person)
        self._publish(SessionChanged((asked.session,), PERSON_CHANGED))
        log.info("logged in", person=person.person_id)

    async def _entered(self, asked: LeaderRequest) -> bool:
        """Whether the log-in was done before: an errand that nobody could cross off is done again."""
        try:
            (person,) = await self._sessions.of_sessions([asked.session])
        except CacheUnavailable:
            return False
        if person is None or person.sessions[asked.session] != asked.login:
            return False
        self._note_due(person)
        self._publish(
            SessionChanged((asked.session,), PERSON_CHANGED)
        )  # who did it may have died before it could say so
        return True

    async def _tell_failure(self, session: str, reason: str) -> None:
        self._patience.failed()
        self.counts["failed"] += 1
        log.info("log-in failed", reason=reason)
        self._publish(SessionChanged((session,), LOGIN_FAILED, reason))
        with contextlib.suppress(CacheUnavailable):  # who has a stream open was told
            await keep_word(self._cache, session, reason)

    # Accounts

    async def _account(self, person_id: str) -> LeaderReply:
        try:
            return await self._known_account(person_id)
        except CacheUnavailable:
            return LeaderReply(failed=NO_ANSWER)
        except InternalError:
            log.exception("account request failed, internal error")
            return LeaderReply(failed=OUR_FAULT)

    async def _known_account(self, person_id: str) -> LeaderReply:
        known = self._accounts.get(person_id)
        person = await self._sessions.person(person_id)
        if person is None:
            return LeaderReply(gone=True)
        if known is not None and self._monotonic() - known[0] < ACCOUNT_SECONDS:
            return LeaderReply(known[1])
        try:
            accounts = await self._summaries(person)
        except ExchangeError as exc:
            if isinstance(exc, ExchangeRefused) and error_code(exc.code).ends_tokens:
                await self._end(person, ENDED)
                return LeaderReply(gone=True)
            return LeaderReply(failed=reason_of(exc))
        if len(self._accounts) > 1_000:
            self._accounts.clear()
        self._accounts[person_id] = self._monotonic(), accounts
        return LeaderReply(accounts)

    async def _summaries(self, person: Person) -> list[Account]:
        raw = await self._call("private/get_account_summaries", {"access_token": person.tokens.access})
        try:
            return msgspec.json.decode(raw, type=_Summaries).summaries
        except msgspec.DecodeError:
            raise ExchangeUnreachable("an answer that is none") from None

    # Tokens

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Keep the tokens of everybody fresh who is still there, until cancelled."""
        task_status.started()
        known = False
        while True:
            try:
                if not known:  # those who logged in at the leader before this one
                    async for person in self._sessions.persons():
                        self._note_due(person)
                    known = True
                for person_id in [one for one, due in self._due.items() if due <= self._wall()]:
                    await self._renew(person_id)
            except CacheUnavailable:
                pass  # said by those who are asked for something
            await anyio.sleep(self._look_seconds)

    def _note_due(self, person: Person) -> None:
        life = person.expires_at - person.issued
        self._due[person.person_id] = person.issued + FRESH_SHARE * life

    async def _renew(self, person_id: str) -> None:
        person = await self._sessions.person(person_id)
        if person is None:
            del self._due[person_id]
            return
        fresh = person.issued + FRESH_SHARE * (person.expires_at - person.issued)
        if fresh > self._wall():
            self._due[person_id] = fresh
            return
        self._due[person_id] = self._wall() + RETRY_SECONDS
        too_long = self._wall() - person.first > LONGEST_SECONDS
        if too_long or not await self._sessions.used_since(person_id, person.issued):
            return  # it ends by itself
        try:
            params = {"grant_type": "refresh_token", "refresh_token": person.tokens.refresh}
            grant = msgspec.json.decode(await self._call("public/auth", params), type=Grant)
        except ExchangeRefused as exc:
            if error_code(exc.code).ends_tokens:
                await self._end(person, ENDED)
            return
        except (ExchangeError, msgspec.DecodeError):
            return  # tried again in a minute
        except InternalError:  # the tokens of other persons are renewed all the same
            log.exception("token renewal failed, internal error", person=person_id)
            return
        await self._enter(person_id, grant)

    async def _enter(self, person_id: str, grant: Grant) -> None:
        now = int(self._wall())
        async with self._sessions.writing:
            person = await self._sessions.person(person_id)
            if person is None or excess_rights(grant.scope, READ_ONLY_SCOPE):
                return
            fresh = replace(
                person,
                scope=grant.scope,
                tokens=Tokens(grant.access_token, grant.refresh_token),
                issued=now,
                expires_at=now + int(min(grant.expires_in, LIFE_SECONDS)),
            )
            if not await self._sessions.write(fresh, only_over=True):
                return  # logged out meanwhile
            for session in fresh.sessions:
                await self._sessions.bind(session, person_id)
        self.counts["refreshed"] += 1
        self._note_due(fresh)
        self._publish(SessionChanged(tuple(fresh.sessions), PERSON_CHANGED))

    async def _end(self, person: Person, reason: str) -> None:
        """The exchange ended it: once told, and nothing is kept."""
        async with self._sessions.writing:
            now = await self._sessions.person(person.person_id)
            if now is None or now.tokens != person.tokens:
                return  # it logged in again meanwhile
            sessions = await self._sessions.end(person.person_id)
        self._due.pop(person.person_id, None)
        if sessions:
            self.counts["ended"] += 1
            self._publish(SessionChanged(sessions, LOGIN_FAILED, reason))
            log.info("login ended by the exchange", person=person.person_id)
