"""The measured servers, each a process: `python -m tests.benchmarks.servers NAME PORT`.

All run uvicorn on uvloop with httptools, and send the same 150 bytes to every reader.
"""

import asyncio
import http.client
import sys
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import anyio
import uvicorn
import uvloop
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cryptomarket.app.server import Server, bound_socket, http_protocol
from cryptomarket.cluster.single import SingleNode
from cryptomarket.database.engine import Database
from cryptomarket.market.catalogue import Catalogue
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Instrument, Tick
from cryptomarket.stream.endpoint import StreamEndpoint
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.web.app import web_app
from cryptomarket.web.health import Health

from .publisher import EVENT, message, publish_at_rate


def serving(app: Any, http: Any, drain: Callable[[], Any]) -> Server:
    """Return uvicorn as the gateway configures it."""
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config, drain)


async def ours(port: int, http: Any, max_streams: int = 100_000) -> None:
    """Serve the whole application of the gateway, with ticks from a local bus."""
    latest = LatestValues([EVENT], monotonic=time.monotonic, wall=time.time)
    manager = ServerSSEManager(EVENT, "connection", latest=latest, drain_seconds=None)
    endpoint = StreamEndpoint(
        manager,
        known=lambda _: False,
        nearest=lambda _: [],
        problem=lambda _, error: Response(str(error), 422),
        max_streams=max_streams,
        max_streams_per_address=100_000,
    )

    async def listed() -> dict[str, Instrument | None]:
        return {}

    async def health() -> Health:
        return Health({})

    app = web_app(
        tickers=[EVENT],
        latest=latest,
        database=Database("sqlite+aiosqlite:///unopened.db"),
        stream=endpoint,
        catalogue=Catalogue(listed, configured=()),
        interval=60,
        health=health,
    )
    bus = SingleNode(epoch=1)
    bus.subscribe(latest.on_message)
    bus.subscribe(manager.on_message)
    last, bid, ask = Decimal("64250.13"), Decimal("64250.12"), Decimal("64250.14")

    def publish(number: int, made_ns: int) -> None:
        price = Decimal(f"{made_ns // 10**9}.{made_ns % 10**9:09d}")
        bus.publish(Tick(EVENT, price, number, last, bid, ask))

    server = serving(app, http, lambda: manager.drain(5))

    async def serve() -> None:
        await server.serve([bound_socket("127.0.0.1", port)])
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        await tasks.start(manager.run)
        tasks.start_soon(serve)
        await publish_at_rate(port, publish)
        tasks.cancel_scope.cancel()


async def queue_each(
    port: int, respond: Callable[[AsyncIterator[Any]], Response], pack: Callable[[int, str], Any]
) -> None:
    """Serve in the usual way: each client has a queue, which the publisher fills and the response empties."""
    queues: set[asyncio.Queue[Any]] = set()
    newest: list[Any] = []

    async def items(queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    async def stream(_: Request) -> Response:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for item in newest:
            queue.put_nowait(item)
        queues.add(queue)
        return respond(items(queue))

    def publish(number: int, made_ns: int) -> None:
        newest[:] = [pack(number, message(number, made_ns))]
        for queue in queues:
            queue.put_nowait(newest[0])

    async def nothing() -> None:
        return

    server = serving(Starlette(routes=[Route("/sse/", stream)]), "httptools", nothing)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [bound_socket("127.0.0.1", port)])
        await publish_at_rate(port, publish)
        tasks.cancel_scope.cancel()


async def post(port: int) -> None:
    """Publish for a server in another program: post each event to it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def publish(number: int, made_ns: int) -> None:
        connection.request("POST", "/pub", message(number, made_ns), {"X-EventSource-Event": EVENT})
        connection.getresponse().read()

    await publish_at_rate(port, publish)


SERVERS: dict[str, Callable[[int], Any]] = {
    "ours": lambda port: ours(port, http_protocol()),
    "ours-asgi": lambda port: ours(port, "httptools"),
    "ours-full": lambda port: ours(port, http_protocol(), max_streams=2_000),
    "sse-starlette": lambda port: queue_each(
        port, EventSourceResponse, lambda number, data: {"id": f"1-{number}", "event": EVENT, "data": data}
    ),
    "streaming": lambda port: queue_each(
        port,
        lambda items: StreamingResponse(items, media_type="text/event-stream"),
        lambda number, data: f"id: 1-{number}\nevent: {EVENT}\ndata: {data}\n\n".encode(),
    ),
    "post": post,
}

if __name__ == "__main__":
    uvloop.run(SERVERS[sys.argv[1]](int(sys.argv[2])))
