"""The address of a database: parsed, checked, and printed without its password. It opens no connection."""

import contextlib
import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import StartError

__all__ = ["check_place", "create_file", "display_url", "is_readable_by_others", "parse_url"]


def parse_url(text: str) -> URL:
    """Parse an address. Raises StartError; its message never shows the address, which may contain a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise StartError(
            "the database address cannot be read; expected sqlite+aiosqlite:///file or postgresql+asyncpg://..."
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StartError(f"the database {url.drivername} is not supported; expected SQLite or PostgreSQL")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StartError("an SQLite database in memory would be empty after every start; name a file")
    return url


def display_url(url: URL) -> str:
    """The address for logs and messages, without the password and without the query, which may contain one."""
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").absolute())
    return url.set(query={}).render_as_string(hide_password=True)


def check_place(url: URL, *, must_exist: bool = False) -> None:
    """Raise StartError, naming the path, when the SQLite file cannot be read, written or created."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(display_url(url))
    try:
        if path.is_dir():
            raise StartError(f"the database {path} is a folder; expected a file")
        if not path.parent.is_dir():
            raise StartError(f"the database {path} cannot be made: the folder {path.parent} does not exist")
        exists = path.exists()
    except OSError as exc:
        raise StartError(f"the database {path} cannot be reached: {exc.strerror}") from exc
    if must_exist and not exists:
        raise StartError(f"there is no database {path}; start the gateway on it first")
    if not os.access(path if exists else path.parent, os.R_OK | os.W_OK):
        raise StartError(f"the database {path} cannot be {'read and written' if exists else 'made'}: permission denied")


def create_file(url: URL) -> None:
    """Create the SQLite file, if there is none, for its owner alone; SQLite gives its other files the same mode.

    An existing file keeps its mode, because others may read it on purpose; see `is_readable_by_others`.
    """
    if url.get_backend_name() == "sqlite":
        with contextlib.suppress(FileExistsError):
            os.close(os.open(display_url(url), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def is_readable_by_others(url: URL) -> bool:
    """Whether every user of the machine can read or write the SQLite file."""
    return url.get_backend_name() == "sqlite" and bool(Path(display_url(url)).stat().st_mode & 0o007)
