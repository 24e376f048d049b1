"""Call methods of ccxt 4.5 and print their answers: ``exchange urls key secret calls watched``.

``urls`` are ccxt's by name. ``calls`` are ``[[method, parameters, times], ...]``, made one after the other. ``watched``
are such calls that then wait together, while the last one of ``calls`` is made each half second until all returned.
"""

import asyncio
import json
import sys
from typing import Any

import ccxt.pro


async def said(client: Any, method: str, parameters: dict[str, Any], times: int = 1) -> None:
    """Call the method so often, and print each answer or the class of the error."""
    for _ in range(times):
        try:
            line = {"method": method, "result": await getattr(client, method)(**parameters)}
        except Exception as exc:
            line = {"method": method, "error": type(exc).__name__, "text": str(exc)[:300]}
        print(json.dumps(line, default=list))


async def main(exchange: str, urls: str, key: str, secret: str, calls: str, watched: str) -> None:
    """Make the calls."""
    client = getattr(ccxt.pro, exchange)({"enableRateLimit": False, "apiKey": key, "secret": secret})
    client.urls["api"] = json.loads(urls)
    try:
        *first, last = json.loads(calls)
        for call in first:
            await said(client, *call)
        waiting = [asyncio.ensure_future(said(client, *call)) for call in json.loads(watched)]
        await said(client, *last)
        while waiting and (await asyncio.wait(waiting, timeout=0.5))[1]:
            await said(client, *last)
    finally:
        await client.close()


asyncio.run(main(*sys.argv[1:]))
