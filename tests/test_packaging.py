"""The locked requirements, the Makefile, the CI script and the wheel."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .supply.locks import locked

ROOT = Path(__file__).parents[1]
LOCKS = ("audit", "build", "celery", "lock", "node", "run", "test")
#: The locks of other people's clients, each for an environment of its own.
CLIENTS = tuple(f"clients/{path.stem}" for path in sorted((ROOT / "requirements" / "clients").glob("*.txt")))
#: The files that an installation depends on beside the locks.
BUILT = ("pyproject.toml", "hatch_build.py", "cryptomarket/web/frontend/package-lock.json")
COMMANDS = set(re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split())


@functools.cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", [*LOCKS, *CLIENTS])
def test_every_locked_package_has_hashes(name: str) -> None:
    """Each package is pinned by version and content, so a replaced one is refused."""
    packages = locked(name)
    assert packages
    assert [package.name for package in packages.values() if not package.hashes] == []


@pytest.mark.parametrize("name", [*LOCKS, *CLIENTS])
def test_locks_contain_no_url_and_no_path(name: str) -> None:
    """A lock file contains no URL of a registry and no path of the machine that wrote it."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    options = set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", text))
    assert options == {"--hash"}
    assert not re.search(r"://|(?<![\w.])[/~]\w|\bfile:|[A-Z]:\\", text)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("run", lambda: project()["project"]["dependencies"]),
        ("test", lambda: project()["project"]["dependencies"]),
        ("test", lambda: project()["project"]["optional-dependencies"]["test"]),
        ("test", lambda: project()["dependency-groups"]["build"]),
        ("build", lambda: project()["dependency-groups"]["build"]),
        ("build", lambda: project()["build-system"]["requires"]),
        ("celery", lambda: project()["project"]["dependencies"]),
        ("celery", lambda: project()["project"]["optional-dependencies"]["celery"]),
        ("audit", lambda: project()["dependency-groups"]["audit"]),
        ("lock", lambda: project()["dependency-groups"]["lock"]),
        *((name, lambda name=name: project()["dependency-groups"][name.partition("/")[2]]) for name in CLIENTS),
    ],
)
def test_locks_satisfy_the_dependencies(name: str, wanted: Any) -> None:
    """A changed dependency requires `make lock`."""
    stale = []
    for requirement in map(Requirement, wanted()):
        package = locked(name).get(str(canonicalize_name(requirement.name)))
        version = package.version if package else None
        if version is None or version not in requirement.specifier:
            stale.append(f"{requirement} (locked: {version})")
    assert not stale, f"requirements/{name}.txt is stale, run `make lock`: {', '.join(stale)}"


@pytest.mark.parametrize("name", ["run", "build", "celery"])
def test_tests_run_with_the_delivered_versions(name: str) -> None:
    """The tests' lock contains every package of the product in the same version."""
    assert locked(name).items() <= locked("test").items()


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run make as from a shell, also if make started the tests."""
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command() -> None:
    """`make` alone describes each command of `.PHONY` in one line."""
    lines = make().stdout.splitlines()
    assert {line.split()[1] for line in lines} == COMMANDS
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("python", ["", "false", "/nonexistent/python3"])
def test_make_without_python_fails_with_a_message(tmp_path: Path, python: str) -> None:
    """Without a recent Python make stops with a message that names the required version."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    for name in BUILT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = make("demo", f"PYTHON={python}", folder=tmp_path)
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert f"found: {python or 'none on the PATH'}." in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_readme_names_the_commands() -> None:
    """Every command that the README or the CI script calls with make exists."""
    texts = [(ROOT / place).read_text() for place in ("README.md", ".ci/run")]
    named = set(re.findall(r"^\s*(?:timeout .*?)?make ([a-z-]+)", "\n".join(texts), re.MULTILINE))
    assert {"demo", "run", "test", "check"} <= named <= COMMANDS


def test_ci_runs_the_same_tests() -> None:
    """The CI script is executable, stops at the first failure and calls both suites."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    for command in ("make lint", "make test", "make test-system"):
        assert re.search(rf"\b{command}$", script.read_text(), re.MULTILINE)
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from this tree with the locked tools and without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.parametrize(
    "place",
    [
        r"cryptomarket/py\.typed",
        r"cryptomarket/web/pages/templates/.+\.html.*",
        r"cryptomarket/web/frontend/.+\.js",
        r"cryptomarket/web/frontend/.+\.css",
        r"cryptomarket/database/migrations/env\.py",
        r"cryptomarket/database/migrations/versions/.+\.py",
        r".+\.dist-info/licenses/LICENSE",
        r".+\.dist-info/entry_points\.txt",
    ],
)
def test_the_wheel_contains_what_running_needs(wheel_file: zipfile.ZipFile, place: str) -> None:
    """Types, pages, scripts, migrations and the licence are in the wheel."""
    assert any(re.fullmatch(place, name) for name in wheel_file.namelist()), f"nothing in the wheel matches {place}"


def test_the_wheel_contains_nothing_else(wheel_file: zipfile.ZipFile) -> None:
    """No test, database, compiled file or `.env` is in the wheel."""
    unexpected = [
        name
        for name in wheel_file.namelist()
        if not name.startswith(("cryptomarket/", "cryptomarket-"))
        or re.search(r"\.(pyc|db|env|sqlite3)$|__pycache__", name)
    ]
    assert unexpected == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "serve"),
        (["conformance", "http://127.0.0.1:9/sse/"], 1, "no server answers"),
        (["bench", "--help"], 0, "--streams"),
    ],
    ids=["help", "conformance", "bench"],
)
def test_the_wheel_runs_by_itself(
    wheel_file: zipfile.ZipFile, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    """The command works from the unpacked wheel without the source tree."""
    wheel_file.extractall(tmp_path)
    program = "import cryptomarket, cryptomarket.cli as cli; print(cryptomarket.__file__, flush=True); cli.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert said in done.stdout + done.stderr
