"""The publisher that every measured server has: so many events a second, each with the moment of its making inside.

It is told its rate on standard input, a line each, and says on standard output that the server is there.
"""

import asyncio
import sys
import time
from collections.abc import Callable

__all__ = ["EVENT", "message", "publish_as_told"]

#: The kind of event that carries prices.
EVENT = "BTC-PERPETUAL"


def message(number: int, made_ns: int) -> str:
    """The data of an event: 150 bytes of JSON, as ours are."""
    return (
        f'{{"ticker":"{EVENT}","price":{made_ns // 10**9}.{made_ns % 10**9:09d},"timestamp":{number // 1000},'
        f'"exchange_timestamp":{number},"last":64250.13,"bid":64250.12,"ask":64250.14}}'
    )


async def publish_as_told(port: int, publish: Callable[[int, int], None]) -> None:
    """Call ``publish(number, made_ns)`` at the rate last told, until standard input ends."""
    loop = asyncio.get_running_loop()
    rate, due, number = 0.0, 0.0, 1_763_668_800_000
    told: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: told.put_nowait(sys.stdin.readline()))
    print(f"ready {port}", flush=True)
    while True:
        try:
            pause = max(0.0, due - time.monotonic()) if rate else 3600.0
            text = await asyncio.wait_for(told.get(), pause) if pause else told.get_nowait()
            if not text:
                return
            rate, due = float(text), time.monotonic()
            print(f"number {number}", flush=True)
        except (TimeoutError, asyncio.QueueEmpty):
            number += 1
            publish(number, time.monotonic_ns())
            due = max(due + 1 / rate, time.monotonic() - 1.0)
            await asyncio.sleep(0)
