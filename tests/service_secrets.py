"""The one-shot service `secrets` of the compose file as a process, and a PostgreSQL with the accounts of the file."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .composition import composition
from .databases import Postgres, running_postgres

__all__ = ["command_in", "postgres_with_accounts", "prepare_accounts", "written_secrets"]

ROOT = Path(__file__).parents[1]


def command_in(folder: Path) -> list[str]:
    """Return the command of the service with the places of this machine instead of those of its mounts."""
    service = composition().services["secrets"]
    places = {"/secrets": str(folder / "secrets")}
    for mount in service.volumes:
        source, target, *_ = mount.split(":")
        if source.startswith("./"):
            places[target] = str(ROOT / source)
    command = [sys.executable, *(service.command or [])[1:]]
    for target, place in places.items():
        command = [word.replace(target, place) if "=/" in word or word == target else word for word in command]
    if os.geteuid() != 0:  # only root may give a file to any group
        command = [f"{word.rpartition('=')[0]}={os.getegid()}" if "--group" in word else word for word in command]
    return command


def written_secrets(folder: Path) -> Path:
    """Run the service with empty volumes in the folder; return the folder of the volumes."""
    for mount in composition().services["secrets"].volumes:
        target = mount.split(":")[1]
        if target.startswith("/secrets/"):
            (folder / target[1:]).mkdir(parents=True, exist_ok=True)
    subprocess.run(command_in(folder), check=True, timeout=60, env={"PATH": os.environ["PATH"]})
    return folder / "secrets"


@contextlib.contextmanager
def postgres_with_accounts(folder: Path) -> Iterator[Postgres]:
    """Run a PostgreSQL with the database and the accounts of the compose file, which need their passwords."""
    with running_postgres() as server:
        for sql in ("CREATE ROLE cryptomarket SUPERUSER LOGIN", "CREATE DATABASE cryptomarket OWNER cryptomarket"):
            server.execute(sql)
        prepare_accounts(server, folder)
        server.require_passwords("gateway", "celery")
        yield server


def prepare_accounts(server: Postgres, folder: Path) -> None:
    """Run the script of the accounts, as the image does on a new database."""
    script = (ROOT / "deploy" / "postgres" / "accounts.sh").read_text()
    server.run_script(script.replace("/secrets", str(folder / "secrets")))
