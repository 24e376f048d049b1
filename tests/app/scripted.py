"""A stream whose clocks stand still and whose ticks come from requests, so that each server must write the same bytes.

python -m tests.app.scripted PORT    (on our own server, which hands connections over)
"""

import contextlib
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cryptomarket.app.server import Server, bound_socket, uvicorn_config
from cryptomarket.cluster.single import SingleNode
from cryptomarket.model import Gap, Upstream, UpstreamState
from cryptomarket.stream.endpoint import StreamEndpoint
from cryptomarket.stream.manager import ServerSSEManager
from tests.stream.reader import tick
from tests.stream.server import problem

__all__ = ["Scripted", "scripted"]

STILL: dict[str, Any] = {"monotonic": lambda: 1000.0, "wall": lambda: 1_763_668_000.0, "random": lambda: 0.5}


class Scripted:
    """A manager, its endpoint, and what a request can make happen."""

    def __init__(self, **options: Any) -> None:
        self.manager = ServerSSEManager("btc_usd", "eth_usd", "connection", **options)
        self.bus = SingleNode(epoch=7)
        self.bus.subscribe(self.manager.on_message)
        endpoint = StreamEndpoint(
            self.manager,
            known={"BTC-PERPETUAL"}.__contains__,
            nearest=lambda _: ["BTC-PERPETUAL"],
            problem=problem,
            max_streams=2,
            identify=lambda request: (request.cookies.get("session"), {"Set-Cookie": "session=a"}),
        )
        routes = [Route("/sse/", endpoint), Route("/do/{what}", self.do), Route("/flood", self.flood)]
        self.app = Starlette(routes=routes, lifespan=self.lifespan)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: object) -> AsyncIterator[None]:
        """Run the manager."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.manager.run)
            yield
            tasks.cancel_scope.cancel()

    async def do(self, request: Request) -> Response:
        """Make one thing happen; answer with the number of open streams."""
        what, number = request.path_params["what"], int(request.query_params.get("number", 0))
        match what:
            case "btc_usd" | "eth_usd":
                self.bus.publish(tick(what, number))
            case "live" | "down":
                self.bus.publish(Upstream(UpstreamState(what), number))
            case "person":
                self.manager.send("a", '{"kind":"person"}')
            case "refused":
                self.bus.publish(Gap("btc_usd"))
            case "drain":
                await self.manager.drain(0)
        return JSONResponse(len(self.manager))

    async def flood(self, _: Request) -> Response:
        """Write to a reader that reads nothing until it is cut off; answer with what was shed, and the writes."""
        for written in range(3_000):
            if shed := self.manager.statistics().shed:
                return JSONResponse([shed, written])
            self.manager.send("a", "x" * 100_000)
            await anyio.sleep(0.001)
        return JSONResponse([{}, 3_000])


def scripted() -> Starlette:
    """The application with clocks that stand still."""
    return Scripted(**STILL).app


def flooded() -> Starlette:
    """The application with its own clocks, and little patience with readers that read nothing."""
    return Scripted(blocked_seconds=0.5).app


async def main(site: Scripted, port: int) -> None:
    """Serve on our own server."""
    server = Server(uvicorn_config(site.app, ()), partial(site.manager.drain, 0))
    async with site.lifespan(None):
        await server.serve([bound_socket("127.0.0.1", port)])


if __name__ == "__main__":
    anyio.run(main, Scripted(**STILL) if sys.argv[1] == "scripted" else Scripted(blocked_seconds=0.5), int(sys.argv[2]))
