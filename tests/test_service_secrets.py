"""The one-shot service `secrets`: fresh passwords once, each where it is needed, whatever interrupts it."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from .composition import composition
from .service_secrets import command_in, written_secrets


def contents(folder: Path) -> dict[str, str]:
    """Return every file below a folder with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_passwords_are_fresh_and_all_different(tmp_path: Path) -> None:
    """Two deployments share no password, and neither do two accounts; each has 256 random bits."""
    one, other = (contents(written_secrets(tmp_path / name) / "accounts") for name in ("one", "other"))
    assert len({*one.values(), *other.values()}) == 2 * len(one) == 14
    assert all(re.fullmatch("[0-9a-f]{64}", password) for password in one.values())


def test_later_starts_change_nothing(tmp_path: Path) -> None:
    """The same files, not written again: a container that reads one meanwhile sees it whole."""
    folder = written_secrets(tmp_path)
    before = contents(folder)
    inodes = {path: path.stat().st_ino for path in folder.rglob("*")}
    written_secrets(tmp_path)
    assert contents(folder) == before
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == inodes


def test_files_are_for_their_readers_alone(tmp_path: Path) -> None:
    """Mode 0400, or 0440 with the group of the service that reads it; the compose file names that group."""
    folder = written_secrets(tmp_path)
    services = composition().services
    options = [word for word in services["secrets"].command or [] if word.startswith("--group=")]
    groups = dict(word.removeprefix("--group=").split("=") for word in options)
    assert groups.keys() == {"postgres", "redis", "grafana"}
    for service, group in groups.items():
        assert services[service].user.split(":")[1] == group
    assert services["secrets"].group_add == list(groups.values())
    for path in folder.rglob("*"):
        if path.is_file():
            shared = path.parent.name in groups
            assert path.stat().st_mode & 0o777 == (0o440 if shared else 0o400), path
            if shared and os.geteuid() == 0:
                assert path.stat().st_gid == int(groups[path.parent.name])


def test_redis_gets_hashes(tmp_path: Path) -> None:
    """The file of its accounts has the hash of each password and no password."""
    folder = written_secrets(tmp_path)
    accounts, text = contents(folder / "accounts"), (folder / "redis" / "users.acl").read_text()
    for user in ("cryptomarket", "celery", "health"):
        password = accounts[f"redis-{user}"]
        assert f"user {user} on #{hashlib.sha256(password.encode()).hexdigest()} " in text
        assert password not in text
    assert "PASSWORD" not in text


@pytest.mark.parametrize("call", range(1, 76, 8))
def test_an_interrupted_start_is_continued(tmp_path: Path, call: int) -> None:
    """Killed at any change of a file, the next start completes the files and keeps each password that was there."""
    folder = written_secrets(tmp_path)
    whole = contents(folder).keys()
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()
    python, script, *arguments = command_in(tmp_path)
    subprocess.run([python, "-c", KILLED, str(call), script, *arguments], timeout=60, check=False)
    left = {name: text for name, text in contents(folder).items() if "/." not in name}
    assert all(re.fullmatch("[0-9a-f]{64}", left[name]) for name in left if name.startswith("accounts/"))
    written_secrets(tmp_path)
    found = contents(folder)
    assert found.keys() == whole
    assert {name: found[name] for name in left} == left


#: Runs a script, and kills it at the given number of changes to the file system.
KILLED = """
import os, runpy, signal, sys
left = int(sys.argv[1])
def count(event, arguments):
    global left
    opened = event == "open" and "/secrets/" in str(arguments[0])
    if opened or event in ("os.link", "os.rename", "os.remove", "os.chmod"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.argv[1:] = sys.argv[3:]
script = sys.orig_argv[4]
sys.addaudithook(count)
runpy.run_path(script, run_name="__main__")
"""
