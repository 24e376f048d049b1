"""Installs the npm packages of the front end for tests, development packages included, in a temporary folder."""

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["FRONTEND", "npm_tools"]

FRONTEND = Path(__file__).parents[1] / "cryptomarket" / "web" / "frontend"


@functools.cache
def _installed() -> Path | str:
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    lock = (FRONTEND / "package-lock.json").read_bytes()
    name = f"cryptomarket-frontend-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    tools = Path(tempfile.gettempdir()) / name
    if (tools / "complete").exists():
        return tools
    tools.mkdir(exist_ok=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(FRONTEND / file, tools)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(command, cwd=tools, check=True, timeout=120, capture_output=True)
    except (OSError, subprocess.SubprocessError) as exc:
        return f"npm cannot install the packages: {type(exc).__name__}"
    (tools / "complete").touch()
    return tools


def npm_tools() -> Path:
    """Return a folder with the `node_modules` of the lock file; skip the test where npm cannot install them."""
    found = _installed()
    if isinstance(found, str):
        pytest.skip(found)
    return found
