"""Checks of what a client may ask. Those that exceed a limit run only when they are asked for."""

import json
from collections.abc import AsyncIterator

import anyio

from ...errors import ExchangeUnreachable
from ...statements import connection, limits
from ...statements.statement import COINBASE_MAIN
from ..host import Host
from ..messages import Message
from ..registry import check
from ..rows import Observation, saw
from ..sockets import ANSWER_SECONDS, CheckSocket
from .errors import padded


@check(limits.REQUEST_BYTES)
async def request_bytes(host: Host) -> AsyncIterator[Observation]:
    """Send the largest request, and one that is a byte larger."""
    most = limits.REQUEST_BYTES.value
    async with host.socket() as socket:
        await socket.send(padded(most), "public/test")
        good = await socket.until(lambda message: message.answers, ANSWER_SECONDS)
        await socket.send(padded(most + 1), "public/test")
        refused = await socket.until(lambda message: message.answers, ANSWER_SECONDS)
        fits = good is not None and good.result is not None
        large = refused is not None and refused.code == -32600 and refused.get("id") is None
        if fits and large:
            yield saw(limits.REQUEST_BYTES, most)
        else:
            code = refused.code if refused is not None else "no answer"
            yield saw(limits.REQUEST_BYTES, f"{most} bytes {'pass' if fits else 'fail'}, one more: {code}")


@check(limits.CHANNELS_PER_REQUEST)
async def channels_per_request(host: Host) -> AsyncIterator[Observation]:
    """Subscribe as many unknown channels as a request may name, and one more."""
    most = limits.CHANNELS_PER_REQUEST.value
    async with host.socket() as socket:
        good = await socket.call("public/subscribe", channels=[f"verify.{number}" for number in range(most)])
        more = await socket.call("public/subscribe", channels=[f"verify.{number}" for number in range(most + 1)])
        holds = good.result == [] and bool(more.code)
        yield saw(limits.CHANNELS_PER_REQUEST, most if holds else f"{most + 1} channels: {more.code or 'accepted'}")


@check(limits.OWN_LIMITS, limits.CREDITS_OTHER, login=True)
async def own_limits(host: Host) -> AsyncIterator[Observation]:
    """Read the limits of the account, which it says itself."""
    async with host.logged_in() as (socket, _):
        answer = await socket.call("private/get_account_summary", currency="BTC", extended=True)
        found = answer.result.get("limits") if isinstance(answer.result, dict) else None
        yield saw(limits.OWN_LIMITS, isinstance(found, dict))
        group = found.get("non_matching_engine") if isinstance(found, dict) else None
        if isinstance(group, dict) and group:
            rule = limits.CREDITS_OTHER.value
            expected = {"rate": rule.refill // rule.cost, "burst": rule.burst // rule.cost}
            yield saw(limits.CREDITS_OTHER, ", ".join(f"{k} {v}" for k, v in group.items()), holds=group == expected)


@check(limits.LONGEST_LABEL, login=True)
async def longest_label(host: Host) -> AsyncIterator[Observation]:
    """Subscribe with the longest label, and with a longer one."""
    most = limits.LONGEST_LABEL.value
    async with host.logged_in() as (socket, _):
        channels = [f"deribit_price_index.{host.index}"]
        good = await socket.call("private/subscribe", channels=channels, label="x" * most)
        long = await socket.call("private/subscribe", channels=channels, label="x" * (most + 1))
        yield saw(limits.LONGEST_LABEL, most if good.result and long.code else "another")


async def overdrawn(socket: CheckSocket, method: str, burst: int) -> tuple[int, Message | None]:
    """Send requests until the exchange refuses; returns the answers before, and error 10028 if it came.

    A burst is sent at once, then single requests: what the exchange has not read when it closes can turn the close
    into a reset. More at a time follow for networks so slow that the credits refill meanwhile.
    """
    request = {"jsonrpc": "2.0", "method": method, "params": {"channels": ["verify.unknown"]}}
    start, error = len(socket.received), None
    for count in (burst, *[1] * (burst // 2), *[2] * (burst // 2), *[burst] * 3):
        for number in range(count):
            await socket.send_at_once(json.dumps(request | {"id": f"over-{number}"}), method)
        last = f"over-{count - 1}"

        def answered(message: Message, last: str = last) -> bool:
            return message.code == 10028 or message.get("id") == last

        found = await socket.until(answered, ANSWER_SECONDS)
        if socket.closed is not None or (found is not None and found.code):
            error = found
            break
    if socket.closed is None:
        await socket.until(lambda _: False, ANSWER_SECONDS if error is not None else 0)
    good = sum(message.answers and not message.code for message in socket.received[start:])
    return good, error


@check(
    limits.SAYS_TOO_MANY,
    limits.RETRY_AFTER_SECONDS,
    limits.UNAUTHENTICATED_SHARE,
    connection.CLOSE_CODE,
    exceeds=True,
)
async def too_many(host: Host) -> AsyncIterator[Observation]:
    """Subscribe too often at once, without a log-in."""
    rule, method = limits.CREDITS_SUBSCRIBE.value, "public/subscribe"
    if host.kind == COINBASE_MAIN:  # it refuses to subscribe
        rule, method = limits.CREDITS_OTHER.value, "public/test"
    burst = rule.burst // rule.cost
    async with host.socket() as socket:
        try:
            answered, error = await overdrawn(socket, method, burst)
        except ExchangeUnreachable:  # it ended without a word
            answered, error = sum(message.answers for message in socket.received), None
        if socket.closed is None and error is None:
            yield saw(limits.UNAUTHENTICATED_SHARE, f"more than {answered} requests at once")
            return
        yield saw(limits.SAYS_TOO_MANY, error is not None)
        if error is not None:
            data = error.error.get("data")
            retry = data.get("retry_after", data.get("retry_after_ms", 0) / 1000) if isinstance(data, dict) else 0.0
            yield saw(limits.RETRY_AFTER_SECONDS, retry)
        share = answered / burst
        stated = (limits.UNAUTHENTICATED_SHARE.value, *limits.UNAUTHENTICATED_SHARE.others)
        # A slow network lets credits refill meanwhile, so more may pass than there were.
        near = max((one for one in stated if one <= share), default=round(share, 2))
        yield saw(limits.UNAUTHENTICATED_SHARE, near)
        code = 0 if socket.closed is None else socket.closed[0]
        # A close without a handshake is read as 1006.
        yield saw(connection.CLOSE_CODE, "it stays open" if not code else 0 if code == 1006 else code)
    await host.clock.sleep(rule.burst / rule.refill + 1)


@check(limits.CREDITS_SUBSCRIBE, login=True, exceeds=True)
async def own_credits(host: Host) -> AsyncIterator[Observation]:
    """Subscribe too often at once, with a log-in."""
    rule = limits.CREDITS_SUBSCRIBE.value
    burst = rule.burst // rule.cost
    async with host.logged_in() as (socket, _):
        try:
            answered, _error = await overdrawn(socket, "public/subscribe", burst)
        except ExchangeUnreachable:
            answered = sum(message.answers and not message.code for message in socket.received) - 2
        holds = burst <= answered and socket.closed is not None  # more pass a slow network
        yield saw(limits.CREDITS_SUBSCRIBE, f"{answered} at once", holds=holds)
    await host.clock.sleep(rule.burst / rule.refill + 1)


@check(limits.TOO_MANY_STATUS, exceeds=True)
async def too_many_over_http(host: Host) -> AsyncIterator[Observation]:
    """Empty the credits over a WebSocket, and ask over HTTP at once."""
    rule = limits.CREDITS_OTHER.value
    refused: list[int] = []

    async def ask() -> None:
        for _ in range(rule.burst // rule.cost):
            if refused:
                return
            answer = await host.get("public/get_time", urgent=True)
            if answer.code == 10028 or answer.status in (429, 503):
                refused.append(answer.status)

    async with host.socket() as socket:
        for _ in range(rule.burst // rule.cost - 1):
            await socket.send_at_once('{"jsonrpc":"2.0","id":1,"method":"public/test","params":{}}')
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
    if refused:
        yield saw(limits.TOO_MANY_STATUS, refused[0])
    await host.clock.sleep(rule.burst / rule.refill + 1)


@check(limits.CONNECTIONS_PER_ADDRESS, exceeds=True)
async def connections(host: Host) -> AsyncIterator[Observation]:
    """Open connections until one is refused; other programs of this address count as well."""
    most = limits.CONNECTIONS_PER_ADDRESS.value
    opened, refused = 0, ""
    async with anyio.create_task_group() as tasks:
        done = anyio.Event()
        for _ in range(most + 1):
            result: list[str] = []
            ready = anyio.Event()

            async def hold(result: list[str] = result, ready: anyio.Event = ready) -> None:
                try:
                    async with host.socket() as socket:
                        await socket.call("public/test")  # one that asks nothing is ended soon
                        ready.set()
                        await done.wait()
                except ExchangeUnreachable as exc:
                    result.append(str(exc))
                    ready.set()

            tasks.start_soon(hold)
            await ready.wait()
            if result:
                refused = result[0]
                break
            opened += 1
        done.set()
    if refused:
        # Fewer are left to this run where other programs of the address have connections.
        yield saw(
            limits.CONNECTIONS_PER_ADDRESS, f"{opened}, then {refused}", holds=opened <= most and "429" in refused
        )
    else:
        yield saw(limits.CONNECTIONS_PER_ADDRESS, f"{opened} and more")
