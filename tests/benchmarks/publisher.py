"""The publisher of every measured server, whose events contain the time of their creation.

It reads each new rate (events a second) from a line of standard input, and prints a line when the server is ready.
"""

import asyncio
import sys
import time
from collections.abc import Callable

__all__ = ["EVENT", "message", "publish_at_rate"]

#: The type of the price events.
EVENT = "BTC-PERPETUAL"


def message(number: int, made_ns: int) -> str:
    """Return the data of an event: 150 bytes of JSON, like those of the gateway."""
    return (
        f'{{"ticker":"{EVENT}","price":{made_ns // 10**9}.{made_ns % 10**9:09d},"timestamp":{number // 1000},'
        f'"exchange_timestamp":{number},"last":64250.13,"bid":64250.12,"ask":64250.14}}'
    )


async def publish_at_rate(port: int, publish: Callable[[int, int], None]) -> None:
    """Call ``publish(number, made_ns)`` at the last rate read, until standard input ends."""
    loop = asyncio.get_running_loop()
    rate, due, number = 0.0, 0.0, 1_763_668_800_000
    rates: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: rates.put_nowait(sys.stdin.readline()))
    print(f"ready {port}", flush=True)
    while True:
        try:
            pause = max(0.0, due - time.monotonic()) if rate else 3600.0
            text = await asyncio.wait_for(rates.get(), pause) if pause else rates.get_nowait()
            if not text:
                return
            rate, due = float(text), time.monotonic()
            print(f"number {number}", flush=True)
        except (TimeoutError, asyncio.QueueEmpty):
            number += 1
            publish(number, time.monotonic_ns())
            due = max(due + 1 / rate, time.monotonic() - 1.0)
            await asyncio.sleep(0)
