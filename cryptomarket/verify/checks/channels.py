"""Checks of subscribing: what the answers list, and what comes first."""

import json
from collections.abc import AsyncIterator
from typing import Any

from ...statements import channels
from ...statements.statement import COINBASE_STREAMS
from ..host import Host
from ..messages import Message
from ..registry import check
from ..rows import Observation, saw
from ..sockets import ANSWER_SECONDS, CheckSocket

#: For first messages; a network may be slow.
FIRST_SECONDS = 2.0
FIRST_TURNS = 5
UNKNOWN = "verify.unknown"


async def subscribe(socket: CheckSocket, *names: str) -> Message:
    """The answer to a subscription of market data."""
    return await socket.call("public/subscribe", channels=list(names))


def listed(answer: Message) -> tuple[Any, ...]:
    """The channels of an answer; none for an error."""
    return tuple(answer.result) if isinstance(answer.result, list) else ()


@check(
    channels.UNKNOWN_CHANNELS_REFUSED,
    channels.NONE_ACCEPTED,
    channels.DESCENDING_ORDER,
    channels.ACCOUNT_CHANNELS_WITHOUT_LOGIN,
    channels.UNSUBSCRIBE_LISTS,
    channels.UNSUBSCRIBE_ALL_RESULT,
)
async def answers(host: Host) -> AsyncIterator[Observation]:
    """Subscribe known and unknown channels, and unsubscribe them."""
    index, ticker = f"deribit_price_index.{host.index}", f"ticker.{host.perpetual}.100ms"
    async with host.socket() as socket:
        both = await subscribe(socket, index, UNKNOWN)
        yield saw(channels.UNKNOWN_CHANNELS_REFUSED, listed(both) != (index,))
        none = await subscribe(socket, UNKNOWN)
        yield saw(channels.NONE_ACCEPTED, listed(none) if none.result is not None else none.code)
        quote = f"quote.{host.perpetual}"
        three = listed(await subscribe(socket, index, ticker, quote))
        yield saw(
            channels.DESCENDING_ORDER, three == tuple(sorted((index, ticker, quote), key=str.encode, reverse=True))
        )
        own = await subscribe(socket, index, "user.portfolio.any")
        yield saw(channels.ACCOUNT_CHANNELS_WITHOUT_LOGIN, listed(own) != (index,))
        left = await socket.call("public/unsubscribe", channels=[ticker, UNKNOWN])
        yield saw(channels.UNSUBSCRIBE_LISTS, listed(left) == (ticker,))
        yield saw(channels.UNSUBSCRIBE_ALL_RESULT, (await socket.call("public/unsubscribe_all")).result)


@check(channels.RAW_REFUSED_CODE, channels.RAW_REFUSES_ALL)
async def raw(host: Host) -> AsyncIterator[Observation]:
    """Subscribe a raw channel beside another one, without a log-in."""
    index = f"deribit_price_index.{host.index}"
    async with host.socket() as socket:
        refused = await subscribe(socket, index, f"ticker.{host.perpetual}.raw")
        yield saw(channels.RAW_REFUSED_CODE, refused.code)
        left = await socket.call("public/unsubscribe", channels=[index])
        yield saw(channels.RAW_REFUSES_ALL, bool(refused.code) and listed(left) == ())


@check(channels.FIRST_TICKERS, channels.FIRST_TRADES, channels.OLD_TIMESTAMPS)
async def first_messages(host: Host) -> AsyncIterator[Observation]:
    """Subscribe tickers and trades of quiet instruments, and see what comes at once."""
    quiet = await quiet_instruments(host, 5)
    if not quiet:
        return
    tickers = [f"ticker.{name}.100ms" for name in quiet]
    async with host.socket() as socket:
        answer = await subscribe(socket, *tickers, *(f"trades.{name}.100ms" for name in quiet))
        asked_ms = int(answer.get("usIn") or 0) / 1000
        await socket.listen(FIRST_SECONDS)
        first: dict[str, Message] = {}
        trades: list[Any] = []
        for message in socket.received:
            first.setdefault(message.channel, message)
            trades += message.data if message.channel.startswith("trades.") else []
        stamps = [first[name].data.get("timestamp", 0) for name in tickers if name in first]
        # A first message tells the past; the next one could come as soon.
        yield saw(channels.FIRST_TICKERS, len(stamps) == len(tickers) and max(stamps) <= asked_ms)
        yield saw(channels.FIRST_TRADES, any(trade["timestamp"] < asked_ms - 1000 for trade in trades))
        if stamps:
            yield saw(channels.OLD_TIMESTAMPS, min(stamps) < asked_ms)


async def quiet_instruments(host: Host, count: int) -> list[str]:
    """Instruments that change rarely: those with the last expiry; at Coinbase the last names of all."""
    if host.kind == COINBASE_STREAMS:
        return [host.perpetual]
    rows = [row for row in await host.instruments() if row.get("kind") == "option"] or await host.instruments()
    rows.sort(key=lambda row: (row.get("expiration_timestamp") or 0, row["instrument_name"]))
    return [str(row["instrument_name"]) for row in rows[-count:]]


@check(channels.FIRST_VALUES)
async def first_values(host: Host) -> AsyncIterator[Observation]:
    """Subscribe an index just after another connection received a value of it: a first message is the same value."""
    name = f"deribit_price_index.{host.index}"
    async with host.socket() as other:
        await subscribe(other, name)
        for _ in range(FIRST_TURNS):
            async with host.socket() as socket:
                await socket.turn("public/subscribe")
                await other.listen(1.3)  # to the newest value
                known = {message.data.get("timestamp") for message in other.received if message.channel}
                request = {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": [name]}}
                await socket.send_at_once(json.dumps(request), "public/subscribe")
                found = await socket.until(lambda message: message.channel == name, 3)
                if found is not None and found.data.get("timestamp") in known:
                    yield saw(channels.FIRST_VALUES, True)
                    return
    yield saw(channels.FIRST_VALUES, False)


@check(channels.SECOND_SUBSCRIBE_LISTED, channels.SECOND_FIRST_MESSAGE, channels.DELIVERED_TWICE)
async def second_subscription(host: Host) -> AsyncIterator[Observation]:
    """Subscribe a channel twice."""
    name = f"deribit_price_index.{host.index}"
    async with host.socket() as socket:
        await subscribe(socket, name)
        first = await socket.until(lambda message: message.channel == name, 3)
        if first is None:
            return
        start = len(socket.received)
        again = await subscribe(socket, name)
        yield saw(channels.SECOND_SUBSCRIBE_LISTED, listed(again) == (name,))
        found = [message for message in socket.received[start:] if message.channel]
        found += [message for message in await socket.listen(4) if message.channel]
        stamps = [message.data.get("timestamp") for message in found]
        yield saw(channels.SECOND_FIRST_MESSAGE, first.data.get("timestamp") in stamps)
        rest = [stamp for stamp in stamps if stamp != first.data.get("timestamp")]
        if rest:
            yield saw(channels.DELIVERED_TWICE, len(rest) > len(set(rest)) + 1)


@check(channels.PLATFORM_STATE_FIRST, channels.PLATFORM_STATE_FIELDS, channels.PLATFORM_STATE_REASONS)
async def platform_state(host: Host) -> AsyncIterator[Observation]:
    """Subscribe the state of the platform."""
    async with host.socket() as socket:
        await subscribe(socket, "platform_state")
        await socket.until(lambda message: message.channel == "platform_state", ANSWER_SECONDS / 2)
        rest = await socket.listen(2)
        states = [one.data for one in [*socket.received, *rest] if one.channel == "platform_state"]
        found = [state for state in states if isinstance(state, dict) and "price_index" in state]
        indices = {state["price_index"] for state in found}
        yield saw(channels.PLATFORM_STATE_FIRST, len(indices) > 1)
        if found:
            stated = channels.PLATFORM_STATE_FIELDS.value
            yield saw(channels.PLATFORM_STATE_FIELDS, tuple(key for key in stated if key in found[0]))
            yield saw(channels.PLATFORM_STATE_REASONS, "reasons" in found[0])


@check(channels.CREATION_CHANNEL, channels.VOLATILITY_INDICES)
async def known_channels(host: Host) -> AsyncIterator[Observation]:
    """Subscribe channels that exist for some names only."""
    async with host.socket() as socket:
        creation = "instrument.creation.any.any"
        yield saw(channels.CREATION_CHANNEL, listed(await subscribe(socket, creation)) == (creation,))
        names = {f"deribit_volatility_index.{name}" for name in ("btc_usd", "eth_usd", "sol_usdc", "xrp_usdc")}
        found = sorted(name.partition(".")[2] for name in listed(await subscribe(socket, *names)))
        yield saw(channels.VOLATILITY_INDICES, tuple(found))
