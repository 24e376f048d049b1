"""Records for hours, over one 08:00 UTC, and checks what only a listing or an expiry shows. It survives reconnects."""

from typing import Any

import structlog

from ..backoff import delays
from ..deribit.instrument_states import STATES_OF_2022
from ..errors import ExchangeUnreachable
from ..statements import Statement, catalogue, channels
from ..statements.statement import COINBASE_MAIN
from .host import Host
from .messages import Message
from .rows import Observation, saw, unseen
from .sockets import CheckSocket

__all__ = ["WATCHED", "watch"]

log = structlog.get_logger(__name__)

#: The statements that a long recording checks.
WATCHED: tuple[Statement[Any], ...] = (
    channels.STATES_OF_2026,
    channels.INSTRUMENT_STATES,
    channels.CREATION_IS_INSTRUMENT,
)
#: Between two calls of ours; Coinbase ends connections whose client is silent for 30 s.
CALL_SECONDS = 12.0


class _Seen:
    """What came on the channels of the catalogue."""

    def __init__(self) -> None:
        self.states: set[str] = set()
        self.created: list[Any] = []

    def take(self, message: Message) -> None:
        if message.channel.startswith("instrument.state.") and isinstance(message.data, dict):
            self.states.add(str(message.data.get("state")))
        elif message.channel.startswith("instrument.creation."):
            self.created.append(message.data)

    def observations(self) -> list[Observation]:
        stated = set(channels.INSTRUMENT_STATES.value)
        found = [unseen(statement, "no listing and no expiry came") for statement in WATCHED]
        if self.states:
            found[0] = saw(channels.STATES_OF_2026, self.states.isdisjoint(STATES_OF_2022))
            found[1] = saw(channels.INSTRUMENT_STATES, self.states, holds=self.states <= stated | STATES_OF_2022.keys())
        if self.created:
            needed = set(catalogue.INSTRUMENT_FIELDS.value)
            whole = all(isinstance(one, dict) and needed <= one.keys() for one in self.created)
            found[2] = saw(channels.CREATION_IS_INSTRUMENT, whole)
        return found


async def watch(host: Host, seconds: float) -> list[Observation]:
    """Record the channels of a few tickers and of the catalogue for the time; returns what they showed."""
    if host.kind == COINBASE_MAIN:
        return [unseen(statement, "this host has no market data") for statement in WATCHED]
    end, seen, pauses = host.clock.now() + seconds, _Seen(), delays()
    while (left := end - host.clock.now()) > 0:
        try:
            async with host.socket() as socket:
                if await _record(host, socket, left, seen):
                    pauses = delays()
        except ExchangeUnreachable as exc:
            log.info("recording interrupted", reason=str(exc))
        if host.clock.now() < end:
            await host.clock.sleep(min(next(pauses), end - host.clock.now()))
    return seen.observations()


async def _record(host: Host, socket: CheckSocket, seconds: float, seen: _Seen) -> bool:
    """Listen until the time has passed or the connection ends; returns whether any data came."""
    socket.keeps = False
    names = [
        f"deribit_price_index.{host.index}",
        f"ticker.{host.perpetual}.agg2",
        "platform_state",
        "instrument.state.any.any",
        "instrument.creation.any.any",
    ]
    await socket.call("public/subscribe", channels=names)
    end, came = host.clock.now() + seconds, False

    def take(message: Message) -> bool:
        nonlocal came
        came = came or bool(message.channel)
        seen.take(message)
        return False

    while host.clock.now() < end and socket.closed is None:
        await socket.until(take, min(CALL_SECONDS, end - host.clock.now()))
        if socket.closed is None:
            number = await socket.ask("public/test")

            def answers(message: Message, number: int = number) -> bool:
                return take(message) or message.get("id") == number

            if not await socket.until(answers, CALL_SECONDS + host.clock.slack):
                return came  # it answers no more: a new connection
    return came
