"""The HTTP server: uvicorn with another order of stopping.

uvicorn waits for open responses before it stops the application, and a stream never ends by itself: streams are ended
first. uvicorn also raises the signal again after `serve()`, so that no clean-up after it would run: that is left out.
"""

import contextlib
import functools
import gc
import importlib
import ipaddress
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import anyio
import structlog
import uvicorn

from ..addresses import with_mapped_networks
from ..errors import StartError
from ..refusals import Refused, ignore_refusal
from .connection_limits import ConnectionLimits

__all__ = ["Server", "bound_socket", "connection_limits", "http_protocol", "streams_allowed", "uvicorn_config"]

log = structlog.get_logger(__name__)

#: How long a stop waits for REST responses; the streams have ended by then.
GRACE_SECONDS = 5
#: The kernel closes a connection whose client acknowledges nothing for so long. A blocked stream is closed just before.
UNACKNOWLEDGED_MS = 75_000
#: Of each accepted connection; the kernel doubles them for its own accounting. By its defaults one client that does not
#: read an export holds 4 MB, and one that sends what nobody reads 6 MB.
SEND_BUFFER_BYTES, RECEIVE_BUFFER_BYTES = 131_072, 32_768
#: Connections of one address that are no streams; a household of several browsers has some dozens.
LEAST_PER_ADDRESS = 100


def bound_socket(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket on the address; port 0 takes a free one. Raises StartError with the address.

    Other processes may listen on a ``shared`` port as well; the kernel distributes the connections.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Inherited by each accepted connection:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
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
    """How many streams the file limit of this process allows, less a reserve for other files."""
    files = _file_limit()
    return max(files - _reserve(files), 1)


def connections_allowed() -> int:
    """How many connections, streams included, leave files for the database, Redis and the exchange."""
    files = _file_limit()
    return max(files - _reserve(files) // 2, 1)


def _file_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1_000_000


def _reserve(files: int) -> int:
    return min(files // 10 + 50, 1_000)


def connection_limits(
    streams: Callable[[], int], max_streams_per_address: int, trusted_proxies: Sequence[str]
) -> ConnectionLimits[Any]:
    """The limits of connections that are no streams, for a process that has so many ``streams``.

    Who may open many streams opens as many connections at once when it reconnects.
    """
    networks = [ipaddress.ip_network(network) for network in with_mapped_networks(trusted_proxies)]

    @functools.lru_cache(maxsize=4096)
    def trusted(host: str) -> bool:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            return any(address in network for network in networks)
        return False

    return ConnectionLimits(
        most_with_streams=connections_allowed(),
        most_per_address=max(LEAST_PER_ADDRESS, max_streams_per_address),
        streams=streams,
        exempt=trusted,
    )


def http_protocol(limits: ConnectionLimits[Any] | None = None, refused: Refused = ignore_refusal) -> Any:
    """The value for uvicorn's ``http``: makes each HandoverProtocol with ``limits`` and ``refused``.

    It is "auto" where the installed uvicorn does not support it. Streams work as on any ASGI server then and use more
    memory, and no limit of connections applies; the log has a warning with the reason.
    """
    try:
        protocol = importlib.import_module(".uvicorn_protocol", __package__)
        if protocol.supported():
            limits = ConnectionLimits() if limits is None else limits  # an empty one is false
            return functools.partial(protocol.HandoverProtocol, limits=limits, refused=refused)
        reason = "uvicorn's internal names have changed"
    except (ImportError, AttributeError, TypeError) as exc:  # a library is missing, or a class has another shape
        reason = str(exc)
    log.warning("socket handover unavailable, streams stay ASGI responses", reason=reason, uvicorn=uvicorn.__version__)
    return "auto"


def uvicorn_config(app: Any, trusted_proxies: Sequence[str], http: Any = None) -> uvicorn.Config:
    """How uvicorn serves the application; only ``trusted_proxies`` may name a client's address in a header.

    ``http`` is what `http_protocol` returned, by default without limits of its own.
    """
    return uvicorn.Config(
        app,
        http=http or http_protocol(),
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=with_mapped_networks(trusted_proxies),
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


class Server(uvicorn.Server):
    """uvicorn that stops in this order: no new connections, ``drain``, the open requests."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining = anyio.CancelScope()

    def stop(self) -> None:
        """Stop as on a signal."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and exempt all objects that exist now from garbage collection."""
        await super().startup(sockets)
        # Otherwise each full collection visits the whole program and stops it for tens of milliseconds.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, then let uvicorn finish the open requests."""
        for listener in self.servers:
            listener.close()
        with self._draining:
            await self._drain()
        await super().shutdown(sockets)
        gc.unfreeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; on a second Ctrl-C stop without draining."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            self._draining.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving and do not raise them again, so that callers of `serve()` can clean up."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()
