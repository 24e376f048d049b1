import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from cryptomarket.model import Tick
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


def test_a_price_keeps_every_digit_of_its_fields() -> None:
    """A page receives them as text: numbers of JavaScript would lose some."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    values = "0.10000000000000000555,-0.00000310,null,71750.0,0.0", None, None, "-0.00021714,1", None
    tick = Tick("BTC-PERPETUAL", Decimal("83212.140"), 1_763_668_800_123, fields=values)
    script = f"""
        import {{ ReconnectingSource }} from "{FRONTEND.as_uri()}/reconnecting-source.js";
        const source = new ReconnectingSource("http://127.0.0.1/sse/", ["BTC-PERPETUAL"], 0);
        source.addEventListener("price", ({{ detail }}) => console.log(JSON.stringify(detail)));
        source.onPrice({json.dumps(tick.json(("quote", "greeks", "funding")))});
    """
    command = [node, "--no-warnings", "--input-type=module", "--eval", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    detail = json.loads(found.stdout)
    assert detail["price"] == "83212.140"
    assert list(detail["quote"].values()) == ["0.10000000000000000555", "-0.00000310", None, "71750.0", "0.0"]
    assert detail["greeks"] is None
    assert detail["funding"] == {"current_funding": "-0.00021714", "funding_8h": "1"}


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
