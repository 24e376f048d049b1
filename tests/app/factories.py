"""Applications that a server in a test loads: a failing gateway, and one of a user's own with a stream in it."""

import contextlib
from collections.abc import AsyncIterator

import anyio
from anyio.abc import TaskStatus
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from cryptomarket.app import create_app
from cryptomarket.app.asgi import Application
from cryptomarket.app.metrics import LoopLag
from cryptomarket.stream.endpoint import StreamEndpoint
from cryptomarket.stream.manager import ServerSSEManager

__all__ = ["fail_soon", "failing", "own"]


async def fail_soon(self: LoopLag, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    """A background task that fails two seconds after its start."""
    task_status.started()
    await anyio.sleep(2)
    raise RuntimeError("a bug")


def failing() -> Application:
    """The gateway, of which a background task fails."""
    LoopLag.run = fail_soon  # type: ignore[method-assign]
    return create_app()


def own() -> Starlette:
    """An application that has nothing of ours but the stream."""
    manager = ServerSSEManager("btc_usd", "connection")
    endpoint = StreamEndpoint(
        manager,
        known=lambda _: False,
        nearest=lambda _: [],
        problem=lambda _, error: JSONResponse({"detail": str(error)}, 422),
        max_streams_per_address=1_000,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            await tasks.start(manager.run)
            yield
            tasks.cancel_scope.cancel()

    return Starlette(routes=[Route("/sse/", endpoint)], lifespan=lifespan)
