"""A bug met by one person's request is logged with its traceback, reported as ours, and affects no other person."""

import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.protocol import ConnectionState, IllegalTransition, Step, UnsafeCall
from cryptomarket.persons.person import LIFE_SECONDS

from .test_leader_worker import Leader

OUR_FAULT = "this server failed by an error of its own"
BUGS = [UnsafeCall("x"), IllegalTransition(ConnectionState.OPEN, Step.STREAM)]


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("method", ["public/auth", "private/get_account_summary"])
async def test_a_bug_in_a_login_is_logged_and_reported_as_ours(bug: Exception, method: str) -> None:
    """The person reads that it is our fault, the log has the traceback, and the next login succeeds."""
    leader = Leader()
    leader.exchange.raising[method] = bug
    with capture_logs() as lines:
        await leader.log_in()
    assert [(one.kind, OUR_FAULT in one.reason) for one in leader.published] == [("login_failed", True)]
    assert [line["event"] for line in lines if line.get("exc_info")] == ["login failed, internal error"]
    leader.exchange.raising.clear()
    await leader.log_in("s2")
    assert leader.published[-1].sessions == ("s2",)
    assert leader.published[-1].kind == "person"


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_an_account_request_is_logged_and_reported_as_ours(bug: Exception) -> None:
    """The reply blames this server, not the exchange."""
    leader = Leader()
    await leader.log_in()
    leader.exchange.raising["private/get_account_summaries"] = bug
    with capture_logs() as lines:
        reply = await leader.account()
    assert OUR_FAULT in reply["failed"]
    assert [line["event"] for line in lines if line.get("exc_info")] == ["account request failed, internal error"]


class _Once(dict[str, Exception]):
    """Errors that are raised once each."""

    def __getitem__(self, method: str) -> Exception:
        return self.pop(method)


async def test_a_bug_in_the_renewal_of_one_person_leaves_the_others_renewed() -> None:
    """The tokens of the second person are renewed although renewing those of the first met a bug."""
    leader = Leader()
    await leader.log_in("s1")
    await leader.log_in("s2", "key8")
    leader.clock.now += 0.9 * LIFE_SECONDS
    leader.exchange.raising = _Once({"public/auth": UnsafeCall("x")})
    with capture_logs() as lines:
        await leader.run_until(lambda: leader.worker.statistics().refreshed == 1)
    (line,) = [line for line in lines if line.get("exc_info")]
    assert (line["event"], line["person"]) == ("token renewal failed, internal error", "7")
