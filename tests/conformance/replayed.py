"""A server that sends given bytes as event streams, in one piece or byte by byte."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from tests.web.site import running_server

__all__ = ["replayed"]


@contextlib.asynccontextmanager
async def replayed(streams: Sequence[bytes]) -> AsyncIterator[str]:
    """Serve each stream by its number under `/whole/` and `/bytes/`; yield the address."""

    async def stream(request: Request) -> StreamingResponse:
        body = streams[request.path_params["number"]]
        size = 1 if request.path_params["way"] == "bytes" else max(len(body), 1)

        async def pieces() -> AsyncIterator[bytes]:
            for i in range(0, len(body), size):
                yield body[i : i + size]

        # Exactly the standard's type; `media_type` would append a charset.
        return StreamingResponse(pieces(), headers={"content-type": "text/event-stream", "cache-control": "no-store"})

    async def blank(_: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    routes = [Route("/{way}/{number:int}", stream), Route("/healthz", blank), Route("/favicon.ico", blank)]
    async with running_server(Starlette(routes=routes)) as address:
        yield address
