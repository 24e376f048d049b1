"""A bug met by one person's request: logged with its traceback, told as our fault, and felt by no other person."""

import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.protocol import ConnectionState, IllegalTransition, Step, UnsafeCall
from cryptomarket.persons.browser_sessions import LIFE_SECONDS

from .test_leader_worker import World

OUR_FAULT = "this server failed by an error of its own"
BUGS = [UnsafeCall("x"), IllegalTransition(ConnectionState.OPEN, Step.STREAM)]


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("method", ["public/auth", "private/get_account_summary"])
async def test_a_bug_in_a_login_is_logged_and_told_as_ours(bug: Exception, method: str) -> None:
    """The person reads that it is our fault, the log has the traceback, and the next login succeeds."""
    world = World()
    world.exchange.refuse[method] = bug
    with capture_logs() as lines:
        await world.log_in()
    assert [(one.kind, OUR_FAULT in one.reason) for one in world.news] == [("login_failed", True)]
    assert [line["event"] for line in lines if line.get("exc_info")] == ["login failed, internal error"]
    world.exchange.refuse.clear()
    await world.log_in("s2", "l2")
    assert world.news[-1].sessions == ("s2",)
    assert world.news[-1].kind == "person"


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_an_account_request_is_logged_and_told_as_ours(bug: Exception) -> None:
    """The answer names this server, not the exchange."""
    world = World()
    await world.log_in()
    world.exchange.refuse["private/get_account_summaries"] = bug
    with capture_logs() as lines:
        answer = await world.account()
    assert OUR_FAULT in answer["failed"]
    assert [line["event"] for line in lines if line.get("exc_info")] == ["account request failed, internal error"]


class _Once(dict[str, Exception]):
    """Errors each of which is met once."""

    def __getitem__(self, method: str) -> Exception:
        return self.pop(method)


async def test_a_bug_in_the_renewal_of_one_person_leaves_the_others_renewed() -> None:
    """The tokens of the second person are renewed although renewing the first person's met a bug."""
    world = World()
    await world.log_in("s1", "l1")
    world.exchange.person_id = 8
    await world.log_in("s2", "l2")
    world.clock.now += 0.9 * LIFE_SECONDS
    for person in ("7", "8"):
        await world.sessions.note(person)
    world.exchange.refuse = _Once({"public/auth": UnsafeCall("x")})
    with capture_logs() as lines:
        await world.until(lambda: world.service.counts["refreshed"] == 1)
    (line,) = [line for line in lines if line.get("exc_info")]
    assert (line["event"], line["person"]) == ("token renewal failed, internal error", "7")
