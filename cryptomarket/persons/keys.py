"""The operator's encryption keys: from the setting, else from a file that only its owner can read."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from cryptography.fernet import Fernet

from ..errors import StartError

__all__ = ["add_key", "drop_old_keys", "file_keys", "key_file", "operator_keys", "split_keys", "use_newest_key"]

log = structlog.get_logger(__name__)


def key_file(database: str) -> Path:
    """Return the default place of the key file: beside the SQLite file of the URL, else the working directory."""
    scheme, _, path = database.partition(":///")
    beside = Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else Path()
    return beside.with_name("cryptomarket.key") if beside.name else Path("cryptomarket.key")


def operator_keys(setting: str | None, path: Path) -> Callable[[], Sequence[str]]:
    """Return a function that returns the keys of the setting, or without one those of the file; see `file_keys`."""
    if not setting:
        return file_keys(path)
    keys = split_keys(setting)
    return lambda: keys


def split_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a text separated by commas or lines, in its order. Raises ValueError for a wrong key."""
    keys = tuple(word.strip() for word in text.replace("\n", ",").split(",") if word.strip())
    for key in keys:
        try:
            Fernet(key)
        except ValueError:
            raise ValueError("Fernet keys: 32 random bytes in URL-safe base64, separated by commas") from None
    if not keys:
        raise ValueError("at least one Fernet key")
    return keys


def file_keys(path: Path) -> Callable[[], Sequence[str]]:
    """Return a function that reads the keys of the file; its first call creates the file if it is missing.

    That function raises StartError when the file cannot be created or read, has no key, or is readable by others. A
    later call creates no file: a new key would end every login.
    """
    first = True

    def keys() -> Sequence[str]:
        nonlocal first
        if first and not path.exists():
            _make(path)
        first = False
        return _read(path)

    return keys


def _make(path: Path) -> None:
    fresh = _write(path, [Fernet.generate_key().decode()])
    try:
        os.link(fresh, path)
        log.warning("key file created, keep it as safe as the database", file=path.name)
    except FileExistsError:
        pass  # another process created it first
    finally:
        fresh.unlink()


def add_key(path: Path) -> None:
    """Put a new key after those of the file: it decrypts from now on, and the first still encrypts."""
    _replace(path, [*_read(path), Fernet.generate_key().decode()])


def use_newest_key(path: Path) -> None:
    """Put the last key of the file, which `add_key` added, before the others: it encrypts from now on."""
    *others, newest = _read(path)
    _replace(path, [newest, *others])


def drop_old_keys(path: Path) -> None:
    """Remove all keys but the first from the file: nothing that they encrypted or signed is accepted any more."""
    _replace(path, _read(path)[:1])


def _replace(path: Path, keys: Sequence[str]) -> None:
    _write(path, keys).replace(path)  # atomic: a reader sees the old file or the new one


def _write(path: Path, keys: Sequence[str]) -> Path:
    """Write the keys to a new file beside the given one, which was never readable by others; return its path."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write("\n".join(keys) + "\n")
    except OSError as exc:
        raise StartError(f"cannot write the key file {path.name} beside the database: {exc.strerror}") from exc
    return fresh


def _read(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_mode & 0o077:
            raise StartError(f"the key file {path.name} can be read by others: chmod 600 it")
        return split_keys(path.read_text(encoding="ascii"))
    except OSError as exc:
        raise StartError(f"cannot read the key file {path.name}: {exc.strerror}") from exc
    except ValueError as exc:
        raise StartError(f"the key file {path.name} should hold {exc}") from exc
