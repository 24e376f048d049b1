"""A lock that at most one process of this machine holds for a database; the kernel frees it when the process ends."""

import contextlib
import errno
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
    path = _path(place)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            held.callback(os.close, await _take(path, place, wait_seconds))
            held.callback(path.unlink, missing_ok=True)
        yield


async def _take(path: Path, place: str, wait_seconds: float) -> int:
    if (file := _taken(path)) is not None:
        return file
    log.warning("database used by another gateway, waiting for its end", database=place, seconds=wait_seconds)
    with anyio.move_on_after(wait_seconds):
        while (file := _taken(path)) is None:  # noqa: ASYNC110
            await anyio.sleep(CHECK_SECONDS)
        return file
    raise StartError(
        f"another gateway on this machine uses the database {place}: several processes need Redis, over which they "
        "share one connection to the exchange; set CRYPTOMARKET_REDIS_URL, or run one worker process"
    )


def _path(place: str) -> Path:
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cryptomarket-{os.geteuid()}-{name}.lock"


def _taken(path: Path) -> int | None:
    """The file with the lock, or None while another process has it.

    Raises OSError where none can be made: a file or a link that another user made there is not used.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(file).st_uid != os.geteuid():
            raise PermissionError(errno.EACCES, "the file of the lock belongs to another user")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file).st_ino:  # else the process that had it has deleted it meanwhile
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(file)
        raise
    os.close(file)
    return None
