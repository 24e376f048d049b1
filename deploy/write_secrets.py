"""Writes the passwords of docker-compose.yml into volumes: fresh ones at the first start, the same ones later.

    python write_secrets.py FOLDER --acl redis.acl --group postgres=70 --group redis=1000 --group grafana=0

FOLDER has one volume for each service, which mounts its own alone, and `accounts`, which keeps every password and is
mounted here alone. A file is complete or absent: a start that is interrupted is continued by the next one. A password
that is there is never replaced; delete its file in `accounts` to have a new one. It needs Python alone.
"""

import argparse
import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

#: The accounts; each has a password of its own.
ACCOUNTS = (
    "postgres-owner",
    "postgres-gateway",
    "postgres-celery",
    "redis-cryptomarket",
    "redis-celery",
    "redis-health",
    "grafana-admin",
)


def main() -> None:
    """Write what is missing or differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--acl", type=Path, required=True, help="the accounts of Redis without their passwords")
    parser.add_argument("--group", action="append", default=[], help="service=id: the group that reads its files")
    given = parser.parse_args()
    groups = {service: int(number) for service, _, number in (word.partition("=") for word in given.group)}
    passwords = {account: password(given.folder / "accounts" / account) for account in ACCOUNTS}
    for name, text in files(passwords, given.acl.read_text()).items():
        publish(given.folder / name, text, groups.get(name.partition("/")[0]))


def password(path: Path) -> str:
    """Return the password in the file; make one if there is none."""
    fresh = path.with_name(f".{path.name}")
    if not path.exists():
        write(fresh, secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):  # another start was quicker
            os.link(fresh, path)
    fresh.unlink(missing_ok=True)
    return path.read_text()


def files(passwords: Mapping[str, str], acl: str) -> dict[str, str]:
    """Return each file, as service/name, with its text."""

    def database(user: str, account: str) -> str:
        return f"postgresql+asyncpg://{user}:{passwords[account]}@postgres/cryptomarket"

    def redis(user: str) -> str:
        return f"redis://{user}:{passwords[f'redis-{user}']}@redis:6379/0"

    def hashed(line: re.Match[str]) -> str:
        return f"{line[1]}#{hashlib.sha256(passwords[f'redis-{line[2]}'].encode()).hexdigest()} "

    return {
        "migrate/database_url": database("cryptomarket", "postgres-owner"),
        "gateway/database_url": database("gateway", "postgres-gateway"),
        "gateway/redis_url": redis("cryptomarket"),
        "celery/database_url": database("celery", "postgres-celery"),
        "celery/redis_url": redis("celery"),
        "postgres/owner_password": passwords["postgres-owner"],
        "postgres/gateway_password": passwords["postgres-gateway"],
        "postgres/celery_password": passwords["postgres-celery"],
        "redis/users.acl": re.sub(r"(?m)^(user (\S+) on )#PASSWORD ", hashed, acl),
        "redis/health_password": passwords["redis-health"],
        "grafana/admin_password": passwords["grafana-admin"],
    }


def publish(path: Path, text: str, group: int | None) -> None:
    """Replace the file, unless it is the same, with one that its owner and the group can read."""
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}")
    write(fresh, text)
    if group is not None:
        os.chown(fresh, -1, group)  # a group of this process: it needs no capability
        fresh.chmod(0o440)
    fresh.replace(path)


def write(path: Path, text: str) -> None:
    """Write a new file, on the disk when this returns, that only its owner can read."""
    path.unlink(missing_ok=True)  # of a start that was interrupted
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    main()
