"""Checks of the form of requests, answers and notifications."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

from ...statements import messages
from ..host import Host
from ..registry import check
from ..rows import Observation, saw
from ..sockets import ANSWER_SECONDS

_EXPONENT = re.compile(r"[0-9.]e-?[0-9]{1,3}[,}\]]")
LISTEN_SECONDS = 3.0


@check(messages.TIMING_FIELDS, messages.TIMING_ON_ERRORS, messages.TEXT_IDS)
async def answers(host: Host) -> AsyncIterator[Observation]:
    """Look at the outer fields of an answer and of an error."""
    fields = messages.TIMING_FIELDS.value
    async with host.socket() as socket:
        good = await socket.call("public/test")
        yield saw(messages.TIMING_FIELDS, tuple(name for name in fields if good.get(name) is not None))
        bad = await socket.call("public/set_heartbeat", interval=1)
        yield saw(messages.TIMING_ON_ERRORS, all(bad.get(name) is not None for name in fields))
        await socket.send('{"jsonrpc":"2.0","id":"verify-1","method":"public/test","params":{}}', "public/test")
        found = await socket.until(lambda message: message.answers, ANSWER_SECONDS)
        yield saw(messages.TEXT_IDS, found is not None and found.get("id") == "verify-1")


@check(messages.ANSWERS_WITHOUT_ID)
async def without_id(host: Host) -> AsyncIterator[Observation]:
    """Leave out the id of a request."""
    async with host.socket() as socket:
        await socket.send('{"jsonrpc":"2.0","method":"public/test","params":{}}', "public/test")
        found = await socket.until(lambda message: message.answers, ANSWER_SECONDS)
        good = found is not None and found.result is not None and found.get("id") is None
        yield saw(messages.ANSWERS_WITHOUT_ID, good)


@check(messages.BATCHES)
async def batches(host: Host) -> AsyncIterator[Observation]:
    """Send two requests in one frame."""
    both: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": number, "method": "public/test", "params": {}} for number in (1, 2)
    ]
    async with host.socket() as socket:
        await socket.send(json.dumps(both), "public/test")
        found = await socket.until(lambda message: message.answers or isinstance(message.body, list), ANSWER_SECONDS)
        yield saw(messages.BATCHES, found is not None and not found.code)


@check(messages.TIMING_ON_NOTIFICATIONS)
async def notifications(host: Host) -> AsyncIterator[Observation]:
    """Look at the outer fields of notifications."""
    async with host.socket() as socket:
        await socket.call("public/subscribe", channels=[f"ticker.{host.perpetual}.100ms"])
        found = [message for message in await socket.listen(LISTEN_SECONDS) if message.channel]
        keys = {"id", *messages.TIMING_FIELDS.value}
        if found:
            yield saw(messages.TIMING_ON_NOTIFICATIONS, any(keys & set(message.body) for message in found))


@check(
    messages.HTTP_WITHOUT_ID,
    messages.HTTP_POSTS,
    messages.TIME_IN_MILLISECONDS,
    messages.STATUS_IS_TEXT,
)
async def over_http(host: Host) -> AsyncIterator[Observation]:
    """Ask over HTTP with and without an id."""
    answer = await host.get("public/get_time")
    yield saw(messages.HTTP_WITHOUT_ID, answer.result is not None and answer.get("id") is None)
    yield saw(messages.TIME_IN_MILLISECONDS, isinstance(answer.result, int) and 10**12 < answer.result < 10**13)
    posted = await host.post("public/get_time", request_id=17)
    yield saw(messages.HTTP_POSTS, posted.get("id") == 17 and isinstance(posted.result, int))
    status = await host.get("public/status")
    locked = status.result.get("locked") if isinstance(status.result, dict) else None
    yield saw(messages.STATUS_IS_TEXT, isinstance(locked, str))


@check(messages.EXPONENTS)
async def exponents(host: Host) -> AsyncIterator[Observation]:
    """Look for an exponent among many numbers; without one there is nothing to judge by."""
    for currency in ("BTC", "USDC"):
        if _EXPONENT.search((await host.get("public/get_book_summary_by_currency", currency=currency)).raw):
            yield saw(messages.EXPONENTS, True)
            return
