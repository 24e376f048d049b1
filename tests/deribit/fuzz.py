"""Mutated recorded frames through the parser: no crash, no price out of a corrupt frame, memory flat.

    python -m tests.deribit.fuzz --count 1000000

The judge is Python's own JSON reader: a price may come out only if the mutated frame is still a valid notification
that says that very price for that very ticker.
"""

import argparse
import gc
import json
import random
import sys
import time
from decimal import Decimal
from typing import Any

import psutil

from cryptomarket.deribit.application_login import ApplicationLogin
from cryptomarket.deribit.doors import DOORS
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.deribit.session import ExchangeSession
from cryptomarket.deribit.subscriptions import Subscriptions
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable
from cryptomarket.model import Tick
from tests.recorded import recorded_lines

__all__ = ["Action", "fuzz", "recorded_frames"]

#: Pieces that parsers stumble over.
SPICE = (
    b"null", b'"undefined"', b'"expired"', b"8.7e3", b"1e999", b"-0", b"NaN", b"Infinity", b"[]", b"{}", b'""', b"\x00",
    b"\xff", b"\\ud800", b"99999999999999999999999", b"1e-99", b"0x10", b",", b":", b"}", b"{", b'"', b"[" * 3000,
    b'{"a":' * 3000, b'"timestamp":1', b'"price":1', b'"mark_price":1', b"true", b" ", b"\n",
)  # fmt: skip


class Action:
    """What became of the frames."""

    def __init__(self) -> None:
        self.frames = 0
        self.ticks = 0
        self.corrupt = 0
        self.grown_mib = 0.0
        self.seconds = 0.0

    def __str__(self) -> str:
        rate = self.frames / self.seconds if self.seconds else 0
        return (
            f"{self.frames} frames, {self.corrupt} of them no JSON any more, {self.ticks} prices, each as written; "
            f"memory grew by {self.grown_mib:.1f} MiB; {rate:.0f} frames/s"
        )


def recorded_frames() -> list[bytes]:
    """Every recorded frame small enough to be interesting, made a whole notification where only data was kept."""
    frames = []
    for line in recorded_lines():
        text = line["raw"]
        if line.get("part") == "params.data":
            params = f'{{"channel":"{line["channel"]}","data":{text}}}'
            text = f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'
        if line["direction"] == "in" and len(text) < 20_000:
            frames.append(text.encode())
    return frames


def mutate(frame: bytes, frames: list[bytes], chance: random.Random) -> bytes:
    """The frame after one to four accidents."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(len(frame) + 1)
        match chance.randrange(7):
            case 0 if frame:  # a flipped bit
                place %= len(frame)
                frame = frame[:place] + bytes([frame[place] ^ 1 << chance.randrange(8)]) + frame[place + 1 :]
            case 1:  # cut off
                frame = frame[:place]
            case 2:  # something lost
                frame = frame[:place] + frame[place + chance.randrange(1, 20) :]
            case 3:  # something twice
                frame = frame[:place] + frame[max(0, place - chance.randrange(1, 40)) :]
            case 4:  # something inserted
                frame = frame[:place] + chance.choice(SPICE) + frame[place:]
            case 5:  # glued to a part of another
                frame = frame[:place] + chance.choice(frames)[chance.randrange(400) :]
            case _:  # a value replaced
                start = frame.find(b":", place)
                end = frame.find(b",", start)
                if 0 < start < end:
                    frame = frame[: start + 1] + chance.choice(SPICE) + frame[end:]
    return frame


def exactly(text: str) -> Decimal | None:
    """The decimal of a number; None beyond what decimals can hold, which is still JSON."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def not_json(text: str) -> None:
    """Python reads NaN and Infinity, which JSON has not."""
    raise ValueError(text)


def expected(frame: bytes) -> Any:
    """The params of the frame as Python's JSON reader sees them; None when it is no JSON-RPC notification."""
    try:
        read = json.loads(frame.decode(), parse_float=exactly, parse_int=exactly, parse_constant=not_json)
        if read["jsonrpc"] == "2.0" and read["method"] == "subscription":
            return read["params"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return None


def agrees(tick: Tick, params: Any) -> bool:
    """Whether the tick equals the content of the frame."""
    if params is None:
        return False
    data, index = params["data"], params["channel"].startswith("deribit_price_index")
    price, named = (data["price"], data["index_name"]) if index else (data["mark_price"], data["instrument_name"])
    return bool(price == tick.price and named == tick.ticker and data["timestamp"] == tick.exchange_timestamp)


def is_json(frame: bytes) -> bool:
    """Whether Python's reader takes the frame at all."""
    try:
        json.loads(frame.decode(), parse_int=exactly, parse_float=exactly, parse_constant=not_json)
    except (ValueError, RecursionError):
        return False
    return True


def new_session() -> ExchangeSession:
    login = ApplicationLogin(None, exchange_time=time.time)
    session = ExchangeSession(DOORS["deribit"], Subscriptions(["btc_usd"]), login, RateLimiter())
    session.start()
    return session


def fuzz(count: int, seed: int) -> Action:
    """Feed so many mutated frames to sessions; raises AssertionError for a price that no frame contained."""
    chance, frames, action = random.Random(seed), recorded_frames(), Action()
    process, session, started = psutil.Process(), new_session(), time.monotonic()
    settled = 0.0
    for number in range(count):
        frame = mutate(chance.choice(frames), frames, chance)
        text: str | bytes = frame
        try:
            outputs = session.receive(text)
        except (ExchangeRefused, ExchangeUnreachable):  # too much nonsense: a new connection, as documented
            session.close()
            session, outputs = new_session(), []
        for tick in outputs:
            if isinstance(tick, Tick):
                action.ticks += 1
                assert agrees(tick, expected(frame)), f"seed {seed}, frame {number}: {tick} out of {frame!r}"
        action.frames += 1
        if number % 100 == 0:
            action.corrupt += 100 * (not is_json(frame))
        if number == min(count // 5, 20_000):
            gc.collect()
            settled = process.memory_info().rss
    gc.collect()
    action.grown_mib = (process.memory_info().rss - settled) / 2**20
    action.seconds = time.monotonic() - started
    return action


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(fuzz(arguments.count, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
