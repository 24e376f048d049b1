"""A lock that at most one process of this machine holds for a database; the kernel frees it when the process ends."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import structlog

from ..errors import StartError

__all__ = ["only_process"]

log = structlog.get_logger(__name__)

CHECK_SECONDS = 0.1


@contextlib.asynccontextmanager
async def only_process(place: str, *, wait_seconds: float) -> AsyncIterator[None]:
    """Hold the lock of the database ``place``; a process that is about to stop is waited for.

    Raises StartError when another process of the same user still has it after ``wait_seconds``. Where no lock can be
    made, such as without a folder for temporary files, nothing is held.
    """
    file = _opened(place)
    if file is None:
        yield
        return
    try:
        if not _taken(file):
            log.warning("database used by another gateway, waiting for its end", database=place, seconds=wait_seconds)
            await _take(file, place, wait_seconds)
        yield
    finally:
        os.close(file)


async def _take(file: int, place: str, wait_seconds: float) -> None:
    with anyio.move_on_after(wait_seconds):
        while not _taken(file):  # noqa: ASYNC110
            await anyio.sleep(CHECK_SECONDS)
        return
    raise StartError(
        f"another gateway on this machine uses the database {place}: several processes need Redis, over which they "
        "share one connection to the exchange; set CRYPTOMARKET_REDIS_URL, or run one worker process"
    )


def _opened(place: str) -> int | None:
    """A file for the lock. Its name is no secret; a file or a link that another user made there is not used."""
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"cryptomarket-{os.geteuid()}-{name}.lock"
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    if os.fstat(file).st_uid != os.geteuid():
        os.close(file)
        return None
    return file


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
