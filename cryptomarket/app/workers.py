"""Workers: several nodes behind one port, each a process with its own event loop and its own limit of open files.

The kernel distributes connections evenly over processes that share a port. A worker that ends is started again; a
signal to the parent is passed on to all. A worker stops when its parent is gone, because its standard input ends.
"""

import os
import random as random_module
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import anyio
import structlog
from anyio.abc import Process, TaskStatus

from ..backoff import doubled
from ..errors import StartError

__all__ = ["Workers", "reserved_port", "until_orphaned"]

log = structlog.get_logger(__name__)

#: The pause before a worker is started again: the first, and the longest after doubling.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: A worker that ran for so long did not fail at its start: the pauses begin anew.
HEALTHY_SECONDS = 60.0
#: The exit code of wrong usage or settings, which another start would not change.
USAGE_ERROR = 2


def reserved_port(host: str, port: int) -> socket.socket:
    """A socket that reserves the port for workers and accepts nothing; raises StartError with the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        if port:
            with socket.socket(family, socket.SOCK_STREAM) as probe:  # a shared port would hide another program on it
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError as exc:
        holder.close()
        reason = exc.strerror or exc
        raise StartError(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from exc
    return holder


async def until_orphaned(stop: Callable[[], None], *, task_status: TaskStatus[None]) -> None:
    """Call ``stop`` when the parent process is gone: the pipe at standard input ends with it."""
    task_status.started()
    while True:
        await anyio.wait_readable(0)
        if not os.read(0, 1024):
            break
    log.warning("parent process gone, worker stopping")
    stop()
    await anyio.sleep_forever()


class Workers:
    """``count`` processes; ``command`` returns the command line of the worker with a number."""

    def __init__(
        self,
        count: int,
        command: Callable[[int], Sequence[str]],
        *,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._count = count
        self._command = command
        self._random = random
        self._alive: dict[int, Process] = {}
        self._stopping = False
        self._code = 0

    async def run(self) -> int:
        """Keep the workers running until a signal; returns the exit code."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_signals_on, tasks.cancel_scope)
            async with anyio.create_task_group() as workers:
                for number in range(self._count):
                    workers.start_soon(self._keep_running, number)
            tasks.cancel_scope.cancel()
        return self._code

    async def _pass_signals_on(self, scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for received in signals:
                again, self._stopping = self._stopping and received is signal.SIGINT, True
                for process in list(self._alive.values()):
                    # A second Ctrl-C does not wait for streams to end.
                    process.send_signal(signal.SIGKILL if again else signal.SIGTERM)
                if not self._alive:
                    scope.cancel()

    async def _keep_running(self, number: int) -> None:
        failures = 0
        while not self._stopping:
            began = anyio.current_time()
            code = await self._run_once(number)
            if self._stopping:
                return
            if code == USAGE_ERROR:
                self._stop_all(code)
                return
            lived = anyio.current_time() - began
            failures = 0 if lived > HEALTHY_SECONDS else failures + 1
            pause = doubled(FIRST_PAUSE, failures, cap_seconds=LONGEST_PAUSE)
            log.warning("worker ended, starting again", worker=number, code=code, pause_seconds=round(pause, 1))
            await anyio.sleep(pause * (0.5 + 0.5 * self._random()))

    async def _run_once(self, number: int) -> int:
        # In its own session, so that Ctrl-C reaches it only through this process.
        process = await anyio.open_process(
            self._command(number), stdin=subprocess.PIPE, stdout=sys.stdout, stderr=sys.stderr, start_new_session=True
        )
        self._alive[number] = process
        try:
            return await process.wait()
        finally:
            del self._alive[number]
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
                await process.aclose()

    def _stop_all(self, code: int) -> None:
        self._stopping, self._code = True, code
        for process in self._alive.values():
            process.terminate()
