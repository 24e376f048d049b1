"""The gateway as one ASGI application: any server with the lifespan protocol runs every part of a node.

Streams are responses of that server, which costs more than under `cryptomarket serve`, whose server hands its
connections over.
"""

import contextlib
import os
import signal
from collections.abc import AsyncIterator

import structlog
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ..addresses import with_mapped_networks
from ..errors import CryptomarketError, SettingsError
from ..hardening import forbid_core_dumps
from ..logs import configure_logs
from ..settings import Settings, read_settings
from ..stream.server_stop import ServerStop
from ..web.app import STREAM_PATH
from .gateway import Gateway

__all__ = ["Application"]

log = structlog.get_logger(__name__)

#: Loggers that the server has configured as its own options say.
SERVER_LOGS = ("uvicorn", "uvicorn.error")
#: The exit code when the server has no clean way to report a failed start; that of uvicorn when it has.
START_FAILED = 3


class Application:
    """The ASGI application of one node. It reads the settings and configures the logs when it is made.

    A start that fails is reported to the server, in a sentence. A background task that fails later stops the server.
    """

    def __init__(self) -> None:
        forbid_core_dumps()
        self._settings = _settings()
        self._app: ASGIApp = _Unavailable("the gateway does not run: its server must use the lifespan protocol")
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the gateway during the lifespan of the server; answer a request."""
        if scope["type"] == "lifespan":
            await self._run(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _run(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            async with self._running() as stop:
                self._started = True
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
                stop.begin()
                await stop.ended()
        except Exception as exc:
            if not isinstance(exc, CryptomarketError):
                log.exception("gateway failed")
            await _report(send, "shutdown" if self._started else "startup", str(exc) or type(exc).__name__)
        else:
            await send({"type": "lifespan.shutdown.complete"})

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[ServerStop]:
        """Run a gateway; raises what keeps it from starting, or the error of the task that failed."""
        if isinstance(self._settings, SettingsError):
            raise self._settings
        gateway = Gateway(self._settings)
        stop = ServerStop(gateway.drain)
        async with gateway.running([stop.run], lambda: self._fail(gateway.app, stop)):
            self._app = _with_proxies(gateway.app, self._settings.trusted_proxies)
            log.info("gateway running under another server")
            yield stop

    def _fail(self, streams: ASGIApp, stop: ServerStop) -> None:
        """Refuse requests and end streams, and stop the server by the signal that an operator would send."""
        self._app = _Unavailable("a part of the gateway failed, its log says why", streams)
        if self._started:
            stop.begin()
            os.kill(os.getpid(), signal.SIGTERM)


def _settings() -> Settings | SettingsError:
    try:
        settings = read_settings()
    except SettingsError as exc:
        configure_logs(keep=SERVER_LOGS)
        return exc
    configure_logs(settings.log_level, settings.log_format, node=settings.node, keep=SERVER_LOGS)
    return settings


def _with_proxies(app: ASGIApp, trusted: tuple[str, ...]) -> ASGIApp:
    """The application, believing the forwarded addresses of the setting; the server has options of its own for it."""
    return ProxyHeadersMiddleware(app, with_mapped_networks(trusted)) if trusted else app  # type: ignore[arg-type, return-value]


class _Unavailable:
    """Answers every request with 503, but a stream by ``streams``: an EventSource does not return from any 503."""

    def __init__(self, reason: str, streams: ASGIApp | None = None) -> None:
        self._response = PlainTextResponse(f"{reason}\n", 503, {"Cache-Control": "no-store"})
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1001})
        elif self._streams is not None and scope["path"] == STREAM_PATH:
            await self._streams(scope, receive, send)
        else:
            await self._response(scope, receive, send)


async def _report(send: Send, phase: str, reason: str) -> None:
    """Report to the server that a phase of the lifespan failed."""
    try:
        await send({"type": f"lifespan.{phase}.failed", "message": reason})
    except Exception as exc:
        if not type(exc).__module__.startswith("hypercorn."):
            raise
        log.error("gateway failed", phase=phase, reason=reason)
        os._exit(START_FAILED)  # anything that is raised here is printed by hypercorn as pages of tracebacks
