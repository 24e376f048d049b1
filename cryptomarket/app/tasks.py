"""Background tasks of a gateway: a failure of one stops the program, loudly and in order."""

import contextlib
from collections.abc import Callable
from typing import Protocol

import structlog
from anyio.abc import TaskStatus

__all__ = ["BackgroundTask", "TaskRunner"]

log = structlog.get_logger(__name__)


class BackgroundTask(Protocol):
    """Runs in the background until cancelled; calls ``task_status.started()`` once it works."""

    async def __call__(self, *, task_status: TaskStatus[None]) -> None: ...


class TaskRunner:
    """Runs tasks; the first failure is logged, calls ``on_failure`` and is kept in ``failure``.

    A failed task does not cancel the others, so that streams still end in order.
    """

    def __init__(self) -> None:
        self.on_failure: Callable[[], None] = _ignore
        self.failure: Exception | None = None

    async def run(self, task: BackgroundTask, *, task_status: TaskStatus[None]) -> None:
        """Run the task until it ends, fails or is cancelled."""
        try:
            await task(task_status=task_status)
        except Exception as exc:
            log.exception("background task failed, stopping", task=getattr(task, "__qualname__", repr(task)))
            self.failure = self.failure or exc
            with contextlib.suppress(RuntimeError):  # it had started
                task_status.started()  # else the start would end with an error of anyio that hides this one
            self.on_failure()

    def raise_failure(self) -> None:
        """Raise the error of the first task that failed, if one did."""
        if self.failure is not None:
            raise self.failure


def _ignore() -> None:
    """No server runs yet."""
