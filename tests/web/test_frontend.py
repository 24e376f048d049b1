import json
import subprocess
from pathlib import Path

from tests.frontend import FRONTEND, npm_tools


def test_the_scripts_are_typed() -> None:
    """The TypeScript compiler finds no error in the scripts of the pages, in its strict mode."""
    tools = npm_tools()
    config = {
        "extends": str(FRONTEND / "tsconfig.json"),
        "compilerOptions": {
            "paths": {"lightweight-charts": ["./node_modules/lightweight-charts/dist/typings.d.ts"]},
        },
        "include": [str(FRONTEND / "*.js"), str(FRONTEND / "*.d.ts")],
    }
    (tools / "tsconfig.json").write_text(json.dumps(config))
    found = subprocess.run([tools / "node_modules/.bin/tsc", "-p", tools], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert found.returncode == 0


def test_the_lock_file_names_no_registry() -> None:
    """Every package is pinned by its hash and has no address."""
    lock = json.loads((FRONTEND / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert "node_modules/lightweight-charts" in packages
    assert all("integrity" in entry and "resolved" not in entry for entry in packages.values())


def test_vendored_files_are_not_committed() -> None:
    """git tracks no copy of a third-party file."""
    files = subprocess.run(
        ["git", "ls-files", FRONTEND], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    assert "vendor" not in files.stdout
    assert "node_modules" not in files.stdout
