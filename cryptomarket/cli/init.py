"""The command that writes the first `.env`: fresh secrets, for the owner alone. It never replaces a file."""

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer
from cryptography.fernet import Fernet
from dotenv import dotenv_values

from ..errors import StartError
from ..settings import PREFIX, read_settings
from .persons import key_place

__all__ = ["init"]

FILE = Path(".env")


def init(
    public_url: Annotated[
        str | None, typer.Option(help="The address in browsers, such as https://prices.example.com.")
    ] = None,
    database_url: Annotated[str | None, typer.Option(help="SQLite or PostgreSQL, as an address of SQLAlchemy.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="The address of Redis, for several nodes.")] = None,
    proxy: Annotated[str | None, typer.Option(help="A proxy to the exchange, http://... or socks5://...")] = None,
) -> None:
    """Write a file `.env` with fresh secrets into the working directory; an existing one is not changed.

    It has a key for logins, unless a gateway has made a key file already, a token for operators, and the given
    settings; all others keep their defaults. The file is for its owner alone, and no secret is printed. Other users of
    the machine may see the arguments of a command: add an address with a password to the file instead.

    Example: cryptomarket init --public-url https://prices.example.com
    """
    given = {
        "public_url": public_url,
        "database_url": database_url,
        "redis_url": redis_url,
        "deribit_proxy": proxy,
        "operators_token": secrets.token_urlsafe(32),
    }
    values = {name: value for name, value in given.items() if value is not None}
    if FILE.exists() or FILE.is_symlink():
        raise StartError(f"{FILE} exists and is not changed: move it away, or add the settings of .env.example to it")
    settings = read_settings(**values)  # raises for a value that a start would refuse
    place = key_place(settings)
    if place.exists():  # another key would end every login
        print(f"The key stays that of {place}.")
    elif settings.secret_key is None:
        values["secret_key"] = Fernet.generate_key().decode()
    _write({PREFIX + name.upper(): value for name, value in values.items()})
    names = ", ".join(PREFIX + name.upper() for name in values)
    print(f"{FILE.absolute()} written, for you alone: {names}")
    print("Next: `cryptomarket doctor` tries the settings, `cryptomarket serve` runs the gateway.")


def _write(variables: dict[str, str]) -> None:
    """Write the file whole or not at all. Raises StartError when it exists or cannot be written, or loses a value."""
    fresh = FILE.with_name(f"{FILE.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name}={_quoted(value)}\n" for name, value in variables.items())
        found = dotenv_values(fresh)
        if lost := [name for name, value in variables.items() if found.get(name) != value]:
            raise StartError(f"{', '.join(lost)} has characters that {FILE} cannot hold, such as a line break or ${{")
        os.link(fresh, FILE)  # unlike a rename it replaces nothing
    except OSError as exc:
        raise StartError(f"cannot write {FILE.absolute()}: {exc.strerror}") from exc
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _quoted(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.,:;/@?&=%+~*-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
