"""A person's balances: every node requests them of the leader, which requests them of the exchange."""

import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from ..errors import (
    CacheUnavailable,
    ExchangeError,
    ExchangeUnreachable,
    InternalError,
    InvalidPrice,
    NotLoggedIn,
    RequestRefused,
)
from ..model import exact_price, plain
from .browser_sessions import BrowserSessions
from .grants import login_ended
from .leader_requests import AccountBalance, AccountRequest, LeaderReply, RequestLeader
from .login_flow import NO_CACHE, OUR_FAULT, reason_of
from .person import Person
from .person_door import PersonDoors

__all__ = ["AccountClient", "AccountReader"]

log = structlog.get_logger(__name__)

#: How long the leader may take for a reply.
REPLY_SECONDS = 10.0
#: Several tabs of one person must not spend several requests of the exchange's budget.
REUSE_SECONDS = 5.0
MAX_REUSED = 1_000


class AccountClient:
    """Any node's side."""

    def __init__(self, request_leader: RequestLeader) -> None:
        self._request_leader = request_leader

    async def balances(self, person: Person, session: str) -> list[AccountBalance]:
        """Return the balances by currency, a few seconds old at most; the person is logged in at ``session``.

        Raises NotLoggedIn when the exchange ended the login, NoLeader, and RequestRefused when the exchange failed.
        """
        body = msgspec.json.encode(AccountRequest(person.person_id, session))
        reply = msgspec.json.decode(await self._request_leader(body, seconds=REPLY_SECONDS), type=LeaderReply)
        if reply.gone:
            raise NotLoggedIn("the exchange ended this login")
        if reply.accounts is None:
            raise RequestRefused(503, f"an answer of the exchange, but {reply.failed}", retry_after=10)
        return reply.accounts


class _Summaries(msgspec.Struct):
    summaries: list[AccountBalance]


class AccountReader:
    """The leader's side.

    When the exchange does not accept a person's token, ``renew`` replaces it once; it returns None when the login is
    over. ``end`` ends the login of a person whose new token is not accepted either.
    """

    def __init__(
        self,
        doors: PersonDoors,
        sessions: BrowserSessions,
        *,
        renew: Callable[[Person], Awaitable[Person | None]],
        end: Callable[[Person], Awaitable[None]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doors = doors
        self._sessions = sessions
        self._renew, self._end = renew, end
        self._monotonic = monotonic
        self._recent: dict[str, tuple[float, list[AccountBalance]]] = {}

    def forget(self, person: Person) -> None:
        """Read the balances anew at the next request: the person logged in again."""
        self._recent.pop(person.person_id, None)

    async def reply(self, request: AccountRequest) -> LeaderReply:
        """Return the balances, or why there are none; never raises."""
        try:
            return await self._reply(request.person_id, request.session)
        except CacheUnavailable:
            return LeaderReply(failed=NO_CACHE)
        except InternalError:
            log.exception("account request failed, internal error", person=request.person_id)
            return LeaderReply(failed=OUR_FAULT)

    async def _reply(self, person_id: str, session: str) -> LeaderReply:
        (person,) = await self._sessions.persons_of([session])
        if person is None or person.person_id != person_id:  # a node is not believed without the records
            return LeaderReply(gone=True)
        read_at, balances = self._recent.get(person_id, (float("-inf"), []))
        if self._monotonic() - read_at < REUSE_SECONDS:
            return LeaderReply(balances)
        try:
            found = await self._read_renewing(person)
        except ExchangeError as exc:
            return LeaderReply(failed=reason_of(exc))
        if found is None:
            return LeaderReply(gone=True)
        if len(self._recent) > MAX_REUSED:
            self._recent.clear()
        self._recent[person_id] = self._monotonic(), found
        return LeaderReply(found)

    async def _read_renewing(self, person: Person) -> list[AccountBalance] | None:
        """Return the balances, after one renewal if the token is dead; None when the login is over."""
        try:
            return await self._read(person)
        except ExchangeError as exc:
            if not login_ended(exc):
                raise
        renewed = await self._renew(person)
        if renewed is None:
            return None
        try:
            return await self._read(renewed)
        except ExchangeError as exc:
            if not login_ended(exc):
                raise
        await self._end(renewed)
        return None

    async def _read(self, person: Person) -> list[AccountBalance]:
        if (door := self._doors.get(person.door)) is None:
            raise ExchangeUnreachable(f"the door {person.door} is not offered any more")
        raw = await door.call("private/get_account_summaries", {"access_token": person.tokens.access})
        try:
            summaries = msgspec.json.decode(raw, type=_Summaries).summaries
        except msgspec.DecodeError:
            raise ExchangeUnreachable("an unreadable reply to private/get_account_summaries") from None
        return [
            AccountBalance(row.currency, _plain(row.equity), _plain(row.balance), _plain(row.available_funds))
            for row in summaries
        ]


def _plain(number: msgspec.Raw) -> msgspec.Raw:
    """The JSON number without an exponent (the exchange writes ``1.0e5``); null for anything that is no number."""
    try:
        return msgspec.Raw(plain(exact_price(bytes(number).decode())).encode())
    except InvalidPrice:
        return msgspec.Raw(b"null")
