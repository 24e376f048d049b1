"""The HTTP server: uvicorn, but the streams end before it waits for connections, and a stop leaves nothing behind.

uvicorn waits for open responses before it tells the application to stop, so a stream would hold it for ever: streams
are ended first. And it raises the signal again after `serve()`, so that nothing after it would run: that is left out.
"""

import contextlib
import gc
import importlib
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

import anyio
import structlog
import uvicorn

from ..errors import StartError

__all__ = ["GRACE_SECONDS", "Server", "bound_socket", "http_protocol", "streams_allowed"]

log = structlog.get_logger(__name__)

#: Streams are gone by then; what is left are REST answers, and no client is worth waiting longer for.
GRACE_SECONDS = 5
#: A client that vanished without a word is noticed by the kernel after this: what it does not acknowledge is not kept
#: for longer. A stream that is behind is closed just before.
UNACKNOWLEDGED_MS = 75_000


def bound_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket on the address; port 0 takes a free one. Raises StartError naming the address.

    A ``shared`` port may be listened on by other processes as well, and the kernel spreads connections over them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # each accepted connection inherits it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as exc:
        listener.close()
        reason = exc.strerror or exc
        raise StartError(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from exc
    listener.setblocking(False)
    return listener


def streams_allowed() -> int:
    """How many streams the file limit of this process allows, with a reserve for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = soft if soft != resource.RLIM_INFINITY else 1_000_000
    return max(files - min(files // 10 + 50, 1_000), 1)


def http_protocol() -> Any:
    """What to give uvicorn as ``http``: our protocol, which hands streams their connection, or its choice.

    Ours leans on inner parts of uvicorn; where they are not as expected, the log says so, and streams work as on any
    ASGI server, at a higher cost.
    """
    try:
        protocol = importlib.import_module(".uvicorn_protocol", __package__)
        if protocol.fits():
            return protocol.HandoverProtocol
        reason = "its parts have changed"
    except ImportError as exc:
        reason = str(exc)
    log.warning("streams_stay_asgi", reason=reason, uvicorn=uvicorn.__version__)
    return "auto"


class Server(uvicorn.Server):
    """uvicorn with our order of stopping: no new connections, the streams' end, the rest."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining = anyio.CancelScope()

    def stop(self) -> None:
        """Stop as after a signal."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, with everything that stays for good out of the garbage collector's way."""
        await super().startup(sockets)
        # Else each full collection looks through the whole program, and everybody waits for tens of milliseconds.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams over their window, then let uvicorn finish the open requests."""
        for listener in self.servers:
            listener.close()
        with self._draining:
            await self._drain()
        await super().shutdown(sockets)
        gc.unfreeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; asked a second time from the keyboard, stop without waiting for anybody."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            self._draining.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving, and do not raise them again: what stands around `serve()` closes its things."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()
