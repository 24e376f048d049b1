"""The smallest possible client of the exchange, which knows nothing of our own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect

from cryptomarket.simulator.credits import BUDGETS
from cryptomarket.simulator.exchange import Exchange
from cryptomarket.statements.limits import CreditLimit

__all__ = ["RICH", "Client", "connected", "http"]

#: Enough credits to ask as often as a test does.
RICH = {name: CreditLimit(1, 10_000, 10_000) for name in BUDGETS}


class Client:
    """A WebSocket that asks and keeps what arrives between the answers."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.notifications: list[dict[str, Any]] = []
        self._number = 0

    async def ask(self, method: str, /, **params: Any) -> dict[str, Any]:
        """The whole answer to a request."""
        self._number += 1
        number = self._number
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while True:
            message = await self.read()
            if message.get("id") == number:
                return message
            self.notifications.append(message)

    async def result(self, method: str, /, **params: Any) -> Any:
        """The result of a request."""
        return (await self.ask(method, **params))["result"]

    async def error(self, method: str, /, **params: Any) -> int:
        """The error code of a request."""
        code = (await self.ask(method, **params))["error"]["code"]
        assert isinstance(code, int)
        return code

    async def send(self, message: Any) -> None:
        """Send a message, or a text as it is."""
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def text(self) -> str:
        """The next frame as text."""
        with anyio.fail_after(30):
            return str(await self.socket.recv())

    async def read(self) -> dict[str, Any]:
        """The next frame, parsed."""
        message = json.loads(await self.text())
        assert isinstance(message, dict)
        return message

    async def notification(self, channel: str | None = None) -> dict[str, Any]:
        """The next notification, of a channel if one is named."""
        while True:
            message = self.notifications.pop(0) if self.notifications else await self.read()
            if message.get("method") == "subscription" and channel in (None, message["params"]["channel"]):
                return message

    async def login(self, scope: str = "") -> dict[str, Any]:
        """Log in with the default account."""
        words = {"client_id": "demo", "client_secret": "demo-secret"}
        answer = await self.result("public/auth", grant_type="client_credentials", scope=scope, **words)
        assert isinstance(answer, dict)
        return answer


@asynccontextmanager
async def connected(exchange: Exchange) -> AsyncIterator[Client]:
    """A client of the exchange."""
    async with connect(exchange.ws_url, max_size=None, max_queue=None, ping_interval=None) as socket:
        yield Client(socket)


async def http(
    exchange: Exchange, target: str, *, verb: str = "GET", body: bytes = b"", headers: str = ""
) -> tuple[int, str]:
    """Status and body of one HTTP request, made by hand."""
    with anyio.fail_after(30):
        async with await anyio.connect_tcp(exchange.host, exchange.port) as stream:
            head = (
                f"{verb} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {len(body)}\r\n"
            )
            await stream.send(head.encode() + b"\r\n" + body)
            received = b""
            async for chunk in stream:
                received += chunk
    head_of_answer, _, content = received.partition(b"\r\n\r\n")
    return int(head_of_answer.split()[1]), content.decode()
