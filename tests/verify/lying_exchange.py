"""A host between verify and the simulated exchange that changes what the exchange says, so that it deviates."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["Lie", "lying_exchange"]

#: A change of one message; None drops it. The dictionary keeps what the lie remembers of its connection.
Lie = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | None]


@asynccontextmanager
async def lying_exchange(url: str, lie: Lie, close_code: int | None = None) -> AsyncIterator[str]:
    """The address of a host that passes on what the exchange at the URL says, changed by the lie.

    ``close_code`` replaces the code of every close.
    """

    async def downwards(up: ClientConnection, down: ServerConnection) -> None:
        memory: dict[str, Any] = {}
        try:
            async for text in up:
                message = lie(json.loads(text), memory)
                if message is not None:
                    await down.send(json.dumps(message))
        except ConnectionClosed:
            pass
        if up.close_code in (None, 1006):
            down.transport.abort()
        else:
            await down.close(close_code or up.close_code or 1000, up.close_reason or "")

    async def upwards(up: ClientConnection, down: ServerConnection) -> None:
        try:
            async for text in down:
                await up.send(text)
        except ConnectionClosed:
            pass
        await up.close()

    async def one(down: ServerConnection) -> None:
        path = down.request.path if down.request else ""
        async with connect(url.removesuffix("/ws/api/v2") + path, max_size=None) as up, asyncio.TaskGroup() as tasks:
            tasks.create_task(downwards(up, down))
            tasks.create_task(upwards(up, down))

    async with serve(one, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/api/v2"
