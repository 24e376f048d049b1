"""The supply chain: no known vulnerabilities, a complete bill of materials, and a reproducible wheel."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from packaging.version import Version

from .audit import CANARY, audit
from .locks import ROOT, Locked, below_floors, floors, locked
from .sbom import bill

CLEAN = '{"dependencies": [{"name": "x", "version": "1", "vulns": []}], "fixes": []}'
BAD = '{"dependencies": [{"name": "x", "version": "1", "vulns": [{"id": "CVE-1"}]}], "fixes": []}'


@pytest.mark.parametrize("name", ["audit", "build", "celery", "lock", "node", "run", "test"])
def test_locks_are_above_known_vulnerabilities(name: str) -> None:
    """No locked package is older than its floor, and excluded packages are absent."""
    assert below_floors(locked(name)) == []


def test_a_package_below_its_floor_is_named() -> None:
    """The message has the package, its version, the floor and the reason."""
    found = {name: Locked(name, Version("0.1"), ()) for name in ("starlette", "python-multipart", "harmless")}
    low = below_floors(found)
    assert len(low) == 2
    assert low[0].startswith("starlette 0.1 is below 1.3.1: CVE-")
    assert "python-multipart" in low[1]


def test_every_floor_has_a_reason() -> None:
    """Every floor has a reason, and the exposed packages have floors."""
    assert all(why for _, why in [*floors().packages.values(), *floors().images.values()])
    assert {"starlette", "cryptography", "redis", "h11"} <= floors().packages.keys() & locked("run").keys()


def answering(
    canary: str, others: str, errors: str = ""
) -> Callable[[Sequence[str]], subprocess.CompletedProcess[str]]:
    """Return a replacement of pip-audit with these outputs."""

    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        answer = canary if "canary" in Path(command[-1]).name else others
        assert "--strict" in command
        return subprocess.CompletedProcess(list(command), 0 if answer == CLEAN else 1, answer, errors)

    return run


@pytest.mark.parametrize(
    ("canary", "others", "code", "expected"),
    [
        (BAD, CLEAN, 0, "reported as it must be"),
        (BAD, BAD, 1, "requirements/run.txt: x 1: CVE-1"),
        (BAD, "", 1, "requirements/run.txt: skipped"),  # a skipped package
        (CLEAN, CLEAN, 1, f"know nothing of {CANARY}"),
        ("", "", 0, "floors of the project"),  # no database of advisories can be reached
    ],
)
def test_advisories_count_only_with_their_canary(canary: str, others: str, code: int, expected: str) -> None:
    """The audit fails if the database of advisories does not report the known bad package."""
    lines: list[str] = []
    assert audit(lines.append, answering(canary, others, "skipped"), ["run"]) == code
    assert any(expected in line for line in lines), lines


def test_without_pip_audit_the_floors_decide() -> None:
    """Where pip-audit is not installed, the audit uses the floors."""

    def missing(_: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError

    lines: list[str] = []
    assert audit(lines.append, missing, ["run"]) == 0
    assert "floors of the project" in lines[0]


def test_the_bill_lists_everything_that_is_delivered() -> None:
    """The bill has each locked package and each script of the pages, with their hashes."""
    found = bill()
    listed = {component["purl"] for component in found["components"]}
    assert {f"pkg:pypi/{package.name}@{package.version}" for package in locked("run").values()} <= listed
    assert any(purl.startswith("pkg:npm/lightweight-charts@") for purl in listed)
    lengths = {"SHA-256": 64, "SHA-512": 128}
    for component in found["components"]:
        assert component["hashes"]
        assert all(len(found["content"]) == lengths[found["alg"]] for found in component["hashes"])
    (root,) = found["dependencies"]
    assert set(root["dependsOn"]) == listed
    assert root["ref"] == found["metadata"]["component"]["bom-ref"]


def test_the_bill_is_the_same_every_time() -> None:
    """Two bills of the same locks are equal, and contain no path and no time."""
    text = json.dumps(bill())
    assert text == json.dumps(bill())
    assert str(ROOT) not in text
    assert "timestamp" not in text


def built(source: Path, out: Path, **variables: str) -> str:
    """Build a wheel from the source with the locked tools and without a network; return its digest."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    done = subprocess.run(command, cwd=source, env={**kept, **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel_file,) = out.glob("*.whl")
    return hashlib.sha256(wheel_file.read_bytes()).hexdigest()


def copied(to: Path, mode: int, stamp: float) -> Path:
    """Copy the source of the wheel, with other permissions and times; return the folder."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.db*")
    shutil.copytree(ROOT / "cryptomarket", to / "cryptomarket", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, to)
    for path in sorted(to.rglob("*"), reverse=True):
        if path.is_file():
            path.chmod(mode)
        os.utime(path, (stamp, stamp))
    return to


def test_the_wheel_is_reproducible(tmp_path: Path) -> None:
    """The folder, permissions, times, time zone and hash seed do not change the wheel."""
    first = built(copied(tmp_path / "a", 0o644, 1_700_000_000), tmp_path / "1", TZ="UTC", PYTHONHASHSEED="1")
    second = built(
        copied(tmp_path / "b" / "c", 0o600, 1_790_000_000), tmp_path / "2", TZ="Asia/Tokyo", PYTHONHASHSEED="2"
    )
    assert first == second


def test_a_changed_source_changes_the_wheel(tmp_path: Path) -> None:
    """One more byte in the source changes the digest."""
    source = copied(tmp_path / "a", 0o644, 1_700_000_000)
    first = built(source, tmp_path / "1")
    with (source / "cryptomarket" / "model.py").open("a") as file:
        file.write("\n")
    assert built(source, tmp_path / "2") != first
