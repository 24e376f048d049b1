"""Notices that the ASGI server of this process begins to stop, so that streams end before it waits for them.

ASGI reports a stop with `lifespan.shutdown`, after the server has waited for open responses; a stream never ends by
itself. The stop is therefore noticed where the server notices it: at the signal, whose handler is called afterwards.
A worker process whose parent alone handles signals (hypercorn) closes its listening sockets first; those are watched.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import anyio
from anyio.abc import TaskStatus

__all__ = ["ServerStop"]

#: How often the listening sockets of a worker process are checked.
CHECK_SECONDS = 0.1
#: After a signal that only we handle: how long the server may take after the drain to stop by itself.
GRACE_SECONDS = 1.0
#: After this the server has seen the signal for certain, also one that its parent sends after a Ctrl-C.
ALONE_AFTER_SECONDS = 0.2

Loop = asyncio.AbstractEventLoop
#: What `signal.getsignal` returns: a function, SIG_DFL, SIG_IGN, or None for one that is not Python's.
Handler = Callable[[int, FrameType | None], Any] | int | None


class ServerStop:
    """Awaits ``drain()`` once, as soon as the server of this process begins to stop."""

    def __init__(self, drain: Callable[[], Awaitable[None]]) -> None:
        self._drain = drain
        self._begun, self._ended = anyio.Event(), anyio.Event()
        self._draining = anyio.CancelScope()
        self._unhandled: int | None = None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Watch until the stop begins, then drain; a second Ctrl-C cancels the drain.

        Signals reach the main thread only: in another one only `begin` starts the drain.
        """
        loop, listening = asyncio.get_running_loop(), _bound_sockets() if _is_silent_worker() else {}
        with _signals_first(lambda *seen: loop.call_soon_threadsafe(self._on_signal, *seen)) as alone:
            async with anyio.create_task_group() as tasks:
                if listening:
                    tasks.start_soon(self._watch, listening)
                task_status.started()
                await self._begun.wait()
                tasks.cancel_scope.cancel()
            loop.call_later(ALONE_AFTER_SECONDS, alone, loop)
            try:
                with self._draining:
                    await self._drain()
            finally:
                self._ended.set()
            await self._end_by_default()

    def begin(self) -> None:
        """Begin to stop, if it has not begun."""
        self._begun.set()

    async def ended(self) -> None:
        """Wait for the end of the drain."""
        await self._ended.wait()

    def _on_signal(self, number: int, handler: Handler) -> None:
        if self._begun.is_set() and number == signal.SIGINT:
            self._draining.cancel()
        elif handler is not signal.SIG_IGN:
            self.begin()
        if handler is signal.SIG_DFL:
            self._unhandled = number

    async def _watch(self, listening: Mapping[int, int]) -> None:
        while all(_inode(file) == inode for file, inode in listening.items()):  # noqa: ASYNC110
            await anyio.sleep(CHECK_SECONDS)
        self.begin()

    async def _end_by_default(self) -> None:
        """Wait to be cancelled. A signal that the server does not handle then has the effect that it has without us."""
        while self._unhandled is None:  # noqa: ASYNC110
            await anyio.sleep(CHECK_SECONDS)
        await anyio.sleep(GRACE_SECONDS)
        signal.signal(self._unhandled, signal.SIG_DFL)
        os.kill(os.getpid(), self._unhandled)


@contextlib.contextmanager
def _signals_first(on_signal: Callable[[int, Handler], object]) -> Iterator[Callable[[Loop], None]]:
    """Call ``on_signal(number, handler)`` before the handler that is there now.

    The handlers of an event loop run as well, whatever Python's handler is. Yields a function that removes those: a
    worker of granian stands still for ever at its third signal, which a second Ctrl-C is.
    """
    if not _in_main_thread():
        yield lambda loop: None
        return
    before: dict[int, Handler] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    active = True

    def handle(number: int, frame: FrameType | None) -> None:
        handler = before[number]
        if active:
            on_signal(number, handler)
        if callable(handler):
            handler(number, frame)

    def remove_handlers(loop: Loop) -> None:
        for number in before:
            if active and loop.remove_signal_handler(number):
                signal.signal(number, handle)

    for number, handler in before.items():
        if handler is not None:  # one that is not Python's could not be called
            signal.signal(number, handle)
    try:
        yield remove_handlers
    finally:
        active = False
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


def _is_silent_worker() -> bool:
    """Whether this is a worker process in which nothing handles the signal to stop: its parent stops it otherwise."""
    has_parent = multiprocessing.parent_process() is not None
    return has_parent and _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _bound_sockets() -> dict[int, int]:
    """The inode of each socket on which this process listens, or will, by file descriptor."""
    found = {}
    with contextlib.suppress(OSError):  # a system without /dev/fd
        for name in os.listdir("/dev/fd"):
            inode = _inode(file := int(name))
            if inode is not None and _is_bound(file):
                found[file] = inode
    return found


def _inode(file: int) -> int | None:
    try:
        status = os.fstat(file)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


def _is_bound(file: int) -> bool:
    """Whether the socket has an address of its own and none of a peer: it listens, or will."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(file)) as probe:
        name = probe.getsockname()
        if probe.type == socket.SOCK_STREAM and (name[1] if isinstance(name, tuple) else name):
            try:
                probe.getpeername()
            except OSError:
                return True
    return False
