"""Checks of how a connection begins, stays open and ends. Each has a connection of its own."""

from collections.abc import AsyncIterator

from ...errors import ExchangeUnreachable
from ...statements import connection
from ...statements.statement import COINBASE_MAIN, COINBASE_STREAMS
from ..host import Host
from ..registry import check
from ..rows import Observation, saw, unseen
from ..sockets import CheckSocket

INTERVAL = connection.SHORTEST_HEARTBEAT.value
#: How much later than stated something may come, in seconds: networks are slow, and probes were few.
LATE_SECONDS = 2.5
#: And how much earlier.
EARLY_SECONDS = 0.5


def _on_time(host: Host, seconds: float, stated: float) -> bool:
    slack = host.clock.slack
    return stated - EARLY_SECONDS - slack <= seconds <= stated + LATE_SECONDS + slack


@check(connection.SLASH_ACCEPTED)
async def slash(host: Host) -> AsyncIterator[Observation]:
    """Dial the address with a slash at its end."""
    try:
        async with host.socket(suffix="/") as socket:
            answer = await socket.call("public/test")
        yield saw(connection.SLASH_ACCEPTED, answer.result is not None)
    except ExchangeUnreachable:
        yield saw(connection.SLASH_ACCEPTED, False)


@check(connection.HELLO_HAS_VERSION, connection.TEST_HAS_VERSION)
async def versions(host: Host) -> AsyncIterator[Observation]:
    """Greet, and test."""
    async with host.socket() as socket:
        test = await socket.call("public/test")
        yield saw(connection.TEST_HAS_VERSION, isinstance(test.result, dict) and "version" in test.result)
        if host.kind in connection.HELLO_HAS_VERSION.hosts:
            hello = await socket.call("public/hello", client_name="cryptomarket-verify", client_version="1")
            yield saw(connection.HELLO_HAS_VERSION, isinstance(hello.result, dict) and "version" in hello.result)


@check(
    connection.FIRST_TEST_REQUEST_LATENESS, connection.HEARTBEAT_LATENESS, connection.HEARTBEAT_BESIDE_TEST, slow=True
)
async def heartbeats(host: Host) -> AsyncIterator[Observation]:
    """Ask for heartbeats on a connection without subscriptions, and answer three test_requests."""
    async with host.socket() as socket:
        start = host.clock.now()
        await socket.call("public/set_heartbeat", interval=INTERVAL)
        times: list[float] = []
        while len(times) < 3:
            found = await socket.until(lambda message: message.heartbeat == "test_request", 2 * INTERVAL + 5)
            if found is None:
                break
            times.append(found.at)
        beats = sum(message.heartbeat == "heartbeat" for message in socket.received)
        if not times:
            yield saw(connection.HEARTBEAT_LATENESS, f"no test_request within {2 * INTERVAL + 5} s")
            return
        first = times[0] - start - INTERVAL
        stated = connection.FIRST_TEST_REQUEST_LATENESS.value
        yield saw(connection.FIRST_TEST_REQUEST_LATENESS, round(first, 1), holds=_on_time(host, first, stated))
        if len(times) > 1:
            later = (times[-1] - times[0]) / (len(times) - 1) - INTERVAL
            good = _on_time(host, later, connection.HEARTBEAT_LATENESS.value)
            yield saw(connection.HEARTBEAT_LATENESS, round(later, 1), holds=good)
        yield saw(connection.HEARTBEAT_BESIDE_TEST, beats >= len(times) - 1 > 0)


@check(connection.HEARTBEAT_WHEN_BUSY, slow=True)
async def busy(host: Host) -> AsyncIterator[Observation]:
    """Ask for heartbeats on a connection with a busy channel."""
    async with host.socket() as socket:
        await socket.call("public/set_heartbeat", interval=INTERVAL)
        await socket.call("public/subscribe", channels=[f"ticker.{host.perpetual}.100ms"])
        found = await socket.listen(2.5 * INTERVAL)
        yield saw(connection.HEARTBEAT_WHEN_BUSY, any(message.heartbeat == "heartbeat" for message in found))


async def _until_closed(host: Host, socket: CheckSocket, interval: float, answer: str = "") -> float | None:
    """Leave test_requests without an answer, or answer them with a method; returns the seconds until the close."""
    socket.answers_tests = False
    await socket.call("public/set_heartbeat", interval=interval)
    asked = await socket.until(lambda message: message.heartbeat == "test_request", 2 * interval + 5)
    if asked is None:
        return None
    if answer:
        await socket.call(answer)
    # The next test_request would end the connection after two intervals, when something else answered this one.
    await socket.until(lambda _: False, 1.5 * interval)
    return None if socket.closed is None else host.clock.now() - asked.at


@check(connection.TEST_REQUEST_SECONDS, connection.HEARTBEAT_CLOSE_CODE, connection.HEARTBEAT_CLOSE_REASON, slow=True)
async def unanswered_test(host: Host) -> AsyncIterator[Observation]:
    """Leave a test_request without an answer, in an interval that tells one interval from ten seconds."""
    # At Coinbase the rule about silent clients would end a longer wait.
    interval = float(INTERVAL if host.coinbase else INTERVAL + 6)
    async with host.socket() as socket:
        seconds = await _until_closed(host, socket, interval)
        if seconds is None or socket.closed is None:
            yield saw(connection.TEST_REQUEST_SECONDS, "it stays open")
            return
        if host.coinbase:
            yield unseen(connection.TEST_REQUEST_SECONDS, "the rule about silent clients ends the connection as well")
        stated = [connection.TEST_REQUEST_SECONDS.value, *connection.TEST_REQUEST_SECONDS.others]
        near = min(stated, key=lambda value: abs((value or interval) - seconds))
        seen = near if _on_time(host, seconds, near or interval) else round(seconds, 1)
        yield saw(connection.TEST_REQUEST_SECONDS, seen)
        code, reason = socket.closed
        yield saw(connection.HEARTBEAT_CLOSE_CODE, code)
        yield saw(connection.HEARTBEAT_CLOSE_REASON, reason)


@check(connection.ANY_TRAFFIC_PROVES_LIFE, slow=True)
async def other_answer(host: Host) -> AsyncIterator[Observation]:
    """Answer a test_request with another request than public/test."""
    async with host.socket() as socket:
        method = "public/unsubscribe_all" if host.kind == COINBASE_STREAMS else "public/get_time"
        await _until_closed(host, socket, INTERVAL, method)
        yield saw(connection.ANY_TRAFFIC_PROVES_LIFE, socket.closed is None)


@check(connection.QUIET_SECONDS, connection.QUIET_CLOSE_CODE, slow=True)
async def quiet(host: Host) -> AsyncIterator[Observation]:
    """Open a connection and send nothing."""
    async with host.socket() as socket:
        stated = connection.QUIET_SECONDS.value
        await socket.until(lambda _: False, stated + 15)
        if socket.closed is None:
            yield saw(connection.QUIET_SECONDS, f"it stays open for {stated + 15:g}")
            return
        seconds = host.clock.now() - socket.opened_at
        yield saw(connection.QUIET_SECONDS, round(seconds, 1), holds=_on_time(host, seconds, stated))
        yield saw(connection.QUIET_CLOSE_CODE, socket.closed[0])


@check(connection.QUIET_SUBSCRIBER_STAYS, connection.HEARTBEAT_AT_FIRST, slow=True)
async def quiet_subscriber(host: Host) -> AsyncIterator[Observation]:
    """Subscribe a channel, and send nothing more."""
    if host.kind == COINBASE_MAIN:
        async with host.socket() as socket:
            await socket.listen(2 * INTERVAL)
            yield saw(connection.HEARTBEAT_AT_FIRST, any(message.heartbeat for message in socket.received))
        return
    async with host.socket() as socket:
        await socket.call("public/subscribe", channels=[f"deribit_price_index.{host.index}"])
        await socket.listen(connection.QUIET_SECONDS.value + 15 if not host.coinbase else 2 * INTERVAL)
        yield saw(connection.HEARTBEAT_AT_FIRST, any(message.heartbeat for message in socket.received))
        yield saw(connection.QUIET_SUBSCRIBER_STAYS, socket.closed is None)


@check(connection.LOGOUT_ANSWERS, login=True)
async def logout(host: Host) -> AsyncIterator[Observation]:
    """Log out, and see whether an answer comes before the end."""
    async with host.logged_in() as (socket, _):
        number = await socket.ask("private/logout")
        found = await socket.until(lambda message: message.get("id") == number, 5)
        yield saw(connection.LOGOUT_ANSWERS, found is not None)
