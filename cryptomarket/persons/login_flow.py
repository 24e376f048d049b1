"""The leader's part of a login: take the secret, sign with it, overwrite it, learn who the person is, publish.

The secret is in memory only while a signature is made. The signature, valid for a minute, waits for the exchange's
budget and travels; the secret does not.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from enum import Enum

import msgspec
import structlog

from ..deribit.auth import wipe
from ..deribit.error_codes import ErrorSource, error_code
from ..errors import (
    CacheUnavailable,
    CryptomarketError,
    ExchangeError,
    ExchangeRefused,
    InternalError,
    LoginServerRefused,
)
from ..model import SessionChanged
from ..refusals import Refused, ignore_refusal
from .browser_sessions import PERSON_CHANGED, BrowserSessions, Login
from .credential_middleware import LOGIN_PATH
from .grants import MissingRights, WideGrant, exchange_session, login_ended
from .leader_requests import LoginRequest
from .limits import LoginLimits
from .login_secrets import LoginSecrets
from .notifications import EVICTED, LOGGED_OUT, LoginFailures
from .person import Person
from .person_door import Granted, PersonDoor, PersonDoors

__all__ = ["GONE", "NO_ANSWER", "NO_CACHE", "NO_DOOR", "OUR_FAULT", "LoginFailed", "LoginFlow", "reason_of"]

log = structlog.get_logger(__name__)

#: The most of the rights of a grant that is logged.
MOST_LETTERS = 200

OUR_FAULT = "this server failed by an error of its own, which was logged: try again later"
NO_ANSWER = "the exchange did not answer in time: try again"
NO_CACHE = "this server does not reach its own cache of log-ins now: try again"
GONE = "the log-in took too long: try again"
NOT_REGISTERED = "this site is not registered there as it should be: tell its operator"
NO_DOOR = "this server does not offer this log-in: open its page again"


class FailureCause(Enum):
    """Why a login failed, which decides what is charged to its address."""

    EXPIRED = "expired"  # the secret, before the turn of its login came
    ELSEWHERE = "elsewhere"  # the exchange or a part of ours was away or busy, or the secret expired
    KEY = "key"  # the exchange refused the key: its rights, or its owner's account
    WRONG_KEY = "wrong key"


class LoginFailed(CryptomarketError):
    """A login that failed; ``str()`` is the sentence that the person reads."""

    def __init__(self, reason: str, cause: FailureCause = FailureCause.ELSEWHERE) -> None:
        super().__init__(reason)
        self.cause = cause


class _Identity(msgspec.Struct):
    """Of ``private/get_account_summary`` with ``extended``."""

    id: int | str
    username: str | None = None
    email: str | None = None
    system_name: str | None = None


def reason_of(error: ExchangeError) -> str:
    """Return the sentence that the person reads."""
    return error_code(error.code).sentence if isinstance(error, ExchangeRefused) else NO_ANSWER


def _failed(error: ExchangeError, door: PersonDoor) -> LoginFailed:
    """The failure of a login after an error of the exchange."""
    if isinstance(error, ExchangeRefused):
        found = error_code(error.code)
        if found.source is ErrorSource.KEY:
            cause = FailureCause.WRONG_KEY if found.wrong_key else FailureCause.KEY
            return LoginFailed(door.sentences.refused or found.sentence, cause)
    if isinstance(error, LoginServerRefused):
        if error.word == "invalid_grant":
            return LoginFailed(door.sentences.refused, FailureCause.KEY)
        log.warning("login server refuses this application", word=error.word)
        return LoginFailed(NOT_REGISTERED)
    return LoginFailed(reason_of(error))


class LoginFlow:
    """Logs persons in; calls each of ``on_login`` with a person who logged in, then ``publish``.

    ``refused`` is called for each login that the exchange was not asked about.
    """

    def __init__(
        self,
        doors: PersonDoors,
        login_secrets: LoginSecrets,
        sessions: BrowserSessions,
        limits: LoginLimits,
        failures: LoginFailures,
        *,
        publish: Callable[[SessionChanged], None],
        on_login: Sequence[Callable[[Person], None]] = (),
        refused: Refused = ignore_refusal,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._doors = doors
        self._login_secrets = login_secrets
        self._sessions = sessions
        self._limits = limits
        self._failures = failures
        self._publish = publish
        self._on_login = on_login
        self._refused = refused
        self._wall = wall
        self.logged_in = 0
        self.failed = 0

    async def log_in(self, request: LoginRequest) -> bool:
        """Log the person in, or notify the browser session why not; never raises an expected error.

        Returns whether the exchange was asked.
        """
        try:
            login = await self._stored(request)
        except (LoginFailed, CacheUnavailable) as exc:
            failure = exc if isinstance(exc, LoginFailed) else LoginFailed(NO_CACHE)
            if (done := await self._done_before(request)) is not None:
                self._announce(done, request.session)
            else:
                await self._fail(request, failure)
            return failure.cause is not FailureCause.EXPIRED
        except InternalError:
            log.exception("login failed, internal error")
            await self._fail(request, LoginFailed(OUR_FAULT))
            return True
        self.logged_in += 1
        log.info("person logged in", person=login.person.person_id, address=request.address)
        if login.evicted:
            self._publish(SessionChanged(login.evicted, LOGGED_OUT, EVICTED))
        self._announce(login.person, request.session)
        return True

    def _announce(self, person: Person, session: str) -> None:
        for notify in self._on_login:
            notify(person)
        # The other sessions of the person share its new tokens, and its end.
        others = tuple(one for one in person.sessions if one != session)
        self._publish(SessionChanged((session, *others), PERSON_CHANGED))

    async def _done_before(self, request: LoginRequest) -> Person | None:
        """The person whom this very login logged in: a request may arrive again when its reply was lost."""
        try:
            (person,) = await self._sessions.persons_of([request.session])
        except CacheUnavailable:
            return None
        return person if person is not None and person.sessions[request.session].login_id == request.login_id else None

    async def _fail(self, request: LoginRequest, failure: LoginFailed) -> None:
        """Notify the browser session that the login failed, charge its address and log it."""
        if failure.cause is FailureCause.EXPIRED:
            await self.refuse(request, str(failure))
            return
        self.failed += 1
        await self._charge(request, failure.cause)
        log.info("login failed", reason=str(failure), address=request.address, client=request.client)
        await self._failures.notify(request.session, str(failure))

    async def refuse(self, request: LoginRequest, reason: str) -> None:
        """Notify the browser session of a login that the exchange was not asked about.

        ``reason`` is the sentence that the person reads. There may be many at once: the lines about them are limited.
        """
        self.failed += 1
        self._refused("login_not_served", address=request.address, route=LOGIN_PATH, client=request.client, why=reason)
        await self._failures.notify(request.session, reason)

    async def _stored(self, request: LoginRequest) -> Login:
        """Log in at the exchange and store the person. Raises LoginFailed and CacheUnavailable."""
        door = self._doors.get(request.door)
        taken = await self._login_secrets.take(request.login_id)
        if taken is None:
            raise LoginFailed(GONE, FailureCause.EXPIRED)
        if door is None:
            wipe(taken[1])
            raise LoginFailed(NO_DOOR)
        issued = self._wall()
        granted = await self._granted(door, *taken, request.session)
        identity = await self._identity(door, granted)
        person_id, now = f"{door.prefix}{identity.id}", int(issued)
        person = Person(
            person_id,
            identity.username or identity.system_name or person_id,
            identity.email or "",
            granted.scope,
            first=now,
            used=now,
            issued=issued,
            tokens_expire_at=issued + granted.expires_in,
            exchange_session=exchange_session(request.session),
            tokens=granted.tokens,
            door=request.door,
        )
        login = await self._sessions.log_in(person, request.session, request.login_id, request.browser)
        with contextlib.suppress(CacheUnavailable):
            await self._limits.record_login(person_id, request.address)
        return login

    async def _charge(self, request: LoginRequest, cause: FailureCause) -> None:
        """Charge the login's address for a key that the exchange refused."""
        with contextlib.suppress(CacheUnavailable):  # the person reads all the same what is wrong
            if cause is FailureCause.WRONG_KEY:
                await self._limits.record_wrong_key(request.client, request.address)
            elif cause is FailureCause.KEY:
                await self._limits.charge(request.address)

    async def _granted(self, door: PersonDoor, client_id: str, secret: bytearray, session: str) -> Granted:
        try:
            return await door.log_in(client_id, secret, session)
        except WideGrant as exc:
            log.warning("login too wide", rights=str(exc)[:MOST_LETTERS])
            raise LoginFailed(door.sentences.too_wide, FailureCause.KEY) from None
        except MissingRights:
            raise LoginFailed(door.sentences.no_right, FailureCause.KEY) from None
        except ExchangeError as exc:
            raise _failed(exc, door) from None

    async def _identity(self, door: PersonDoor, granted: Granted) -> _Identity:
        params = {"currency": door.currency, "extended": True, "access_token": granted.tokens.access}
        try:
            raw = await door.call("private/get_account_summary", params)
        except ExchangeError as exc:
            # Tokens that ended since the log-in, as when the exchange restarts, do not mean that the key is wrong.
            raise LoginFailed(NO_ANSWER) if login_ended(exc) else _failed(exc, door) from None
        try:
            return msgspec.json.decode(raw, type=_Identity)
        except msgspec.DecodeError:
            raise LoginFailed(NO_ANSWER) from None
