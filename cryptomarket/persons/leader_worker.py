"""What the leader does for persons: it handles the requests of all nodes, serves logins and renews tokens."""

from dataclasses import dataclass

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from .accounts import AccountReader
from .leader_requests import LeaderReply, LeaderRequest, LoginsRequest
from .login_flow import LoginFlow
from .token_renewal import TokenRenewal
from .waiting_logins import WaitingLogins

__all__ = ["LeaderWorker", "PersonStatistics"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PersonStatistics:
    """Counters since this node began to lead.

    ``persons`` is how many persons' tokens it renews now, ``waiting`` how many logins wait for their turn now.
    """

    logged_in: int
    failed: int
    refreshed: int
    renewals_failed: int
    renewals_wide: int
    ended: int
    persons: int
    waiting: int


class LeaderWorker:
    """Dispatches each request by its kind."""

    def __init__(
        self, login_flow: LoginFlow, logins: WaitingLogins, accounts: AccountReader, renewal: TokenRenewal
    ) -> None:
        self._login_flow = login_flow
        self._logins = logins
        self._accounts = accounts
        self._renewal = renewal

    def statistics(self) -> PersonStatistics:
        """The counters now."""
        flow, renewal = self._login_flow, self._renewal
        return PersonStatistics(
            logged_in=flow.logged_in,
            failed=flow.failed,
            refreshed=renewal.refreshed,
            renewals_failed=renewal.failed,
            renewals_wide=renewal.widened,
            ended=renewal.ended,
            persons=len(renewal),
            waiting=len(self._logins),
        )

    async def handle(self, body: bytes) -> bytes:
        """Return the encoded LeaderReply to an encoded LeaderRequest; a failure is part of the reply."""
        try:
            request = msgspec.json.decode(body, type=LeaderRequest)
        except msgspec.DecodeError:
            log.warning("unknown request to the leader")  # from a node of another version
            return msgspec.json.encode(LeaderReply(failed="the leader does not know this request"))
        if isinstance(request, LoginsRequest):
            return msgspec.json.encode(await self._logins.add(request.logins))
        return msgspec.json.encode(await self._accounts.reply(request))

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve logins and renew tokens until cancelled."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._logins.run)
            await tasks.start(self._renewal.run)
            task_status.started()

    async def finish(self) -> None:
        """Begin no more logins and renewals, and wait for those in progress; bounded in time."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._logins.finish)
            tasks.start_soon(self._renewal.finish)
