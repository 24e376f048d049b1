"""An exchange that a test scripts: the answer to every method can be replaced, and every request is recorded.

It is for misbehaviour that no honest simulator shows. It writes its own JSON and knows nothing of our code.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

__all__ = ["SILENT", "Refuse", "Scripted", "refuse", "scripted_exchange"]

#: The answer that never comes.
SILENT = object()

Answer = Callable[[dict[str, Any]], Any]


class Refuse(Exception):
    """Answer with an error."""

    def __init__(self, code: int, message: str = "no", data: Any = None) -> None:
        super().__init__(code)
        self.body = {"code": code, "message": message, **({} if data is None else {"data": data})}


def refuse(_params: dict[str, Any]) -> Any:
    """The answer of a Coinbase host to a method that it does not take."""
    raise Refuse(-32601, "method not in allowlist")


class Scripted:
    """The state of a scripted exchange: its requests so far and its present connections."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.subscribed: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self.peers: list[ServerConnection] = []
        self.stamp = 1_790_755_218_559
        #: Whether every subscribed price channel is given its present value at once.
        self.first_values = True
        self.answers: dict[str, Answer] = {
            "public/hello": lambda _: {"version": "1.2.26"},
            "public/test": lambda _: {"version": "1.2.26"},
            "public/set_heartbeat": lambda _: "ok",
            "public/auth": self.auth,
            "public/subscribe": lambda params: self.accept(params["channels"]),
            "public/unsubscribe": lambda params: params["channels"],
        }
        self.before_answer: Callable[[str, dict[str, Any]], Awaitable[None]] | None = None
        self.url = ""

    def auth(self, params: dict[str, Any]) -> dict[str, Any]:
        """Tokens of the requested scope."""
        scope = params.get("scope", "session:refreshed account:read")
        return {"access_token": "at", "refresh_token": "rt", "expires_in": 900, "scope": scope, "token_type": "bearer"}

    def accept(self, channels: Iterable[str]) -> list[str]:
        """Subscribe all of them; the answer is in descending order."""
        accepted = sorted(channels, reverse=True)
        self.subscribed += accepted
        return accepted

    def requests_of(self, method: str) -> list[dict[str, Any]]:
        """The parameters of each request of a method, oldest first."""
        return [params for name, params in self.requests if name == method]

    async def say(self, text: str) -> None:
        """Send a text to all who are connected."""
        for peer in list(self.peers):
            try:
                await peer.send(text)
            except ConnectionClosed:
                continue

    async def notify(self, channel: str, data: Any) -> None:
        """Send a notification."""
        params = {"channel": channel, "data": data}
        await self.say(json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}))

    async def price(self, channel: str, price: float = 100.5) -> None:
        """Send a price on its channel, later by a second than the one before."""
        self.stamp += 1000
        kind, name = channel.split(".")[:2]
        if kind == "deribit_price_index":
            await self.notify(channel, {"timestamp": self.stamp, "price": price, "index_name": name})
        else:
            await self.notify(channel, {"timestamp": self.stamp, "instrument_name": name, "mark_price": price})

    async def serve(self, peer: ServerConnection) -> None:
        """Answer one connection until it ends."""
        self.connections += 1
        self.peers.append(peer)
        self.most_at_once = max(self.most_at_once, len(self.peers))
        try:
            async for text in peer:
                await self._answer(peer, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self.peers.remove(peer)

    async def _answer(self, peer: ServerConnection, request: dict[str, Any]) -> None:
        method, params = request["method"], request["params"]
        self.requests.append((method, params))
        if self.before_answer:
            await self.before_answer(method, params)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            result = self.answers[method](params)
            if result is SILENT:
                return
            answer["result"] = result
        except Refuse as refusal:
            answer["error"] = refusal.body
        await peer.send(json.dumps({**answer, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": True}))
        if method == "public/subscribe" and self.first_values and "result" in answer:
            for channel in answer["result"]:
                if channel.startswith(("ticker.", "deribit_price_index.")):
                    await self.price(channel)


@asynccontextmanager
async def scripted_exchange(**options: Any) -> AsyncIterator[Scripted]:
    """A scripted exchange on a free port."""
    exchange = Scripted()
    server: Server
    async with serve(exchange.serve, "127.0.0.1", 0, **options) as server:
        exchange.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/api/v2"
        yield exchange
