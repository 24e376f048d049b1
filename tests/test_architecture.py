"""The allowed imports between the rooms, and rules for all of them; the source is parsed and not imported."""

import ast
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptomarket"

#: Plain values that every room may import.
VALUES = frozenset(
    {
        "model",
        "errors",
        "fields",
        "backoff",
        "query",
        "addresses",
        "cookies",
        "public_site",
        "token_buckets",
        "refusals",
    }
)
FEATURES = frozenset({"market", "deribit", "stream", "persons", "history", "cluster"})
#: Plain tables of facts about the exchange: every feature may import them, and they import nothing of ours.
PLAIN_TABLES = frozenset({"deribit.error_codes", "deribit.auth", "deribit.doors", "deribit.coinbase"})
#: Modules that read the settings: the command line and the entry points of programs.
READS_SETTINGS = frozenset(
    {
        "cli",
        "cli.history",
        "cli.init",
        "cli.persons",
        "cli.snapshot",
        "cli.verify",
        "app.asgi",
        "app.backend",
        "app.gateway",
        "app.leader",
        "tasks.celery",
        "database.migrations.env",
    }
)

#: What each part may import of ours beside itself and, where allowed above, the settings.
#: A part is a room (a folder) or a file at the top.
ARROWS: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "backoff": frozenset(),
    "cookies": frozenset(),
    "query": frozenset({"errors"}),
    "hardening": frozenset(),
    "addresses": frozenset(),
    "public_site": frozenset({"errors"}),
    "token_buckets": frozenset({"addresses"}),
    "refusals": frozenset({"addresses", "token_buckets"}),
    "fields": frozenset({"errors"}),
    "model": frozenset({"errors", "fields"}),  # invalid values raise our errors
    "statements": frozenset(),  # facts about the exchange, for those that speak its protocol
    "settings": VALUES | {"deribit.auth", "deribit.doors"},
    "logs": VALUES,
    **dict.fromkeys(FEATURES, VALUES),
    "deribit": VALUES | {"statements"},
    "stream": VALUES | {"market"},
    "database": VALUES,
    "history": VALUES | {"database"},
    "persons": VALUES | {"database"},
    "web": VALUES | {"market", "stream", "persons", "history"},
    "simulator": frozenset({"model", "statements"}),
    "conformance": frozenset({"errors"}),
    "verify": VALUES | {"statements", "deribit"},  # it connects as the gateway does
    "tasks": VALUES | FEATURES | {"logs", "database", "hardening"},
    "app": VALUES | FEATURES | {"web", "logs", "simulator", "database", "hardening"},
    "cli": VALUES | FEATURES | {"web", "logs", "app", "simulator", "database", "hardening", "conformance", "verify"},
    "__main__": frozenset({"cli"}),
}

#: The entry points of programs, which may read the clock that they pass to the rooms.
ENTRY_POINTS = frozenset({"cli", "app", "tasks"})
CLOCKS = frozenset(
    {
        "time.time",
        "time.time_ns",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    }
)
UNOWNED_TASKS = frozenset({"create_task", "ensure_future", "run_coroutine_threadsafe"})

USUAL_LINES, MOST_LINES = 400, 500


@dataclass(frozen=True)
class Module:
    """One file: its name below the package (`deribit.api`), its path and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def part(self) -> str:
        return self.name.partition(".")[0]

    @property
    def place(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


def modules(package: Path) -> list[Module]:
    """Return every module of the package; the name of its own `__init__` is empty."""
    found = []
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path))))
    return found


def imports(module: Module, package: str = "cryptomarket") -> Iterator[tuple[int, str]]:
    """Return each import of ours in the module: its line, and the name below the package (empty for the package)."""
    here = [package, *module.name.split(".")] if module.name else [package]
    folder = here if module.path.name == "__init__.py" else here[:-1]
    for node in ast.walk(module.tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            # `from .. import market` and `from ..market import x` have the same part.
            names = [f"{source}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and called(node, {}).rpartition(".")[2] in {"import_module", "__import__"}:
            first = node.args[0] if node.args else None
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        for name in names:
            if name == package or name.startswith(f"{package}."):
                yield getattr(node, "lineno", 0), name.removeprefix(package).removeprefix(".")


def forbidden_arrows(package: Path) -> list[str]:
    """Return a message for every import that the table does not allow."""
    sentences = []
    parts = {path.stem if path.suffix == ".py" else path.name for path in package.iterdir()}
    for module in modules(package):
        if module.part and module.part not in ARROWS:
            sentences.append(
                f"{module.place} belongs to `{module.part}`, which has no arrows in the table of this test"
            )
            continue
        for line, name in imports(module):
            target = name.partition(".")[0]
            if target not in parts | ARROWS.keys() or (target == module.part and target):
                if module.name in PLAIN_TABLES and target not in VALUES:
                    sentences.append(f"{module.place}:{line} imports {name}, but a plain table imports nothing of ours")
                continue  # the version in `__init__`, or the own room
            table = ".".join(name.split(".")[:2])
            if table in PLAIN_TABLES and (module.part in FEATURES or table in ARROWS.get(module.part, ())):
                continue
            if target == "settings":
                if module.name not in READS_SETTINGS:
                    sentences.append(
                        f"{module.place}:{line} imports settings; only {', '.join(sorted(READS_SETTINGS))} may: "
                        "take the value as an argument"
                    )
            elif target not in ARROWS.get(module.part, frozenset()):
                allowed = ", ".join(sorted(ARROWS.get(module.part, frozenset()))) or "nothing of ours"
                sentences.append(
                    f"{module.place}:{line} imports {name}, but `{module.part or 'cryptomarket/__init__'}` may import "
                    f"{allowed}: take it as a callable or a small interface"
                )
    return sentences


def called(node: ast.Call, known: dict[str, str]) -> str:
    """Return the dotted name of the called function: `time.time` for `now()` after `from time import time as now`."""
    words: list[str] = []
    inner: ast.expr = node.func
    while isinstance(inner, ast.Attribute):
        words.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name):
        words.append(known.get(inner.id, inner.id))
    return ".".join(reversed(words))


def foreign_names(tree: ast.Module) -> dict[str, str]:
    """Return the full name of each name that is imported from other packages."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def calls(package: Path, wanted: Callable[[Module, str], str | None]) -> list[str]:
    """Return a message for every call that breaks the rule."""
    return [
        f"{module.place}:{node.lineno} {words}"
        for module in modules(package)
        for known in [foreign_names(module.tree)]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and (words := wanted(module, called(node, known)))
    ]


def unowned_task(_module: Module, name: str) -> str | None:
    if name.rpartition(".")[2] in UNOWNED_TASKS:
        return f"calls {name}: a task belongs to a task group"
    return None


def read_clock(module: Module, name: str) -> str | None:
    if name in CLOCKS and module.part not in ENTRY_POINTS:
        return f"calls {name}: take the clock as an argument, with the function itself as its default"
    return None


def write(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "cryptomarket"
    for name, text in {"__init__.py": "__version__ = '1'\n", **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def report(sentences: list[str]) -> None:
    assert not sentences, "\n" + "\n".join(sentences)


def test_rooms_import_only_what_the_arrows_allow() -> None:
    """Every import follows the table, and only entry points import the settings."""
    report(forbidden_arrows(PACKAGE))


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("deribit/api.py", "from ..stream.manager import ServerSSEManager\n"),
        ("deribit/api.py", "from .. import stream\n"),
        ("deribit/api.py", "import cryptomarket.stream.manager\n"),
        ("deribit/api.py", "from cryptomarket import stream as elsewhere\n"),
        ("deribit/__init__.py", "from ..stream import manager\n"),
        ("deribit/api.py", "def later():\n    from ..stream import manager\n"),
        ("deribit/api.py", "import importlib\nimportlib.import_module('cryptomarket.stream')\n"),
        ("database/migrations/versions/one.py", "from ....stream import manager\n"),
        ("model.py", "from .market.latest import LatestValues\n"),
        ("logs.py", "from .settings import Settings\n"),
        ("web/app.py", "from ..settings import Settings\n"),
        ("web/app.py", "from ..deribit.api import Api\n"),
        ("web/app.py", "from ..app.gateway import Gateway\n"),
        ("database/migrations/other.py", "from ...settings import Settings\n"),
        ("simulator/exchange.py", "from ..errors import CryptomarketError\n"),
        ("errors.py", "from .stream.manager import ServerSSEManager\n"),
        ("__init__.py", "from .model import Tick\n"),
        ("history/backfill.py", "from ..deribit.http_client import HttpClient\n"),
        ("web/app.py", "from ..deribit.auth import Grant\n"),
        ("deribit/auth.py", "from .messages import decode_as\n"),
        ("novelty.py", ""),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, place: str, text: str) -> None:
    """The checker finds each form of a forbidden import, and reports its place."""
    present = dict.fromkeys(["model.py", "logs.py", "settings.py", "errors.py"], "")
    package = write(
        tmp_path,
        {
            **present,
            "stream/manager.py": "",
            "market/latest.py": "",
            "app/gateway.py": "",
            "deribit/api.py": "",
            place: text,
        },
    )
    sentences = forbidden_arrows(package)
    assert len(sentences) == 1, sentences
    assert sentences[0].startswith(f"{(package / place).parent.name}/{Path(place).name}")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("deribit/api.py", "from ..model import Tick\nfrom . import auth\nfrom .auth import Credentials\n"),
        ("deribit/api.py", "from .. import __version__\nimport stream\nimport cryptomarket_extras\n"),
        ("deribit/api.py", "from importlib import metadata\nmetadata.version('cryptomarket.stream')\n"),
        ("persons/login_flow.py", "from ..deribit.auth import wipe\nfrom ..deribit import error_codes\n"),
        ("history/backfill.py", "from ..deribit.error_codes import error_code\n"),
        ("web/app.py", "from ..stream import manager\nfrom ..history.prices import page\n"),
        (
            "database/migrations/env.py",
            "from cryptomarket.settings import read_settings\nfrom ..schema import metadata\n",
        ),
        (
            "app/gateway.py",
            "from ..settings import Settings\nfrom ..deribit.api import Api\nfrom ..web.app import web_app\n",
        ),
    ],
)
def test_an_allowed_import_passes(tmp_path: Path, place: str, text: str) -> None:
    """Imports of the own room, of values, of libraries and of allowed rooms pass."""
    present = {
        "model.py": "",
        "settings.py": "",
        "stream/manager.py": "",
        "deribit/auth.py": "",
        "history/prices.py": "",
    }
    assert forbidden_arrows(write(tmp_path, {**present, place: text})) == []


def test_every_task_has_an_owner() -> None:
    """Nothing in the package starts a task outside a task group."""
    report(calls(PACKAGE, unowned_task))


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasyncio.create_task(run())\n",
        "from asyncio import ensure_future as start\nstart(run())\n",
        "def go(self):\n    self.loop.create_task(run())\n",
    ],
)
def test_an_unowned_task_is_found(tmp_path: Path, text: str) -> None:
    """The checker finds a task that is started through the module, an imported name or a loop."""
    assert len(calls(write(tmp_path, {"deribit/api.py": text}), unowned_task)) == 1


def test_the_wall_clock_is_an_argument() -> None:
    """No room calls a wall clock; a default argument `wall=time.time` is no call."""
    report(calls(PACKAGE, read_clock))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import time\ntime.time()\n", 1),
        ("from time import time as now\nnow()\n", 1),
        ("from datetime import UTC, datetime\ndatetime.now(UTC)\n", 1),
        ("import datetime as dt\ndt.datetime.now()\n", 1),
        ("import time\ndef fold(wall=time.time): return wall()\n", 0),
        ("import time\nclass LatestValues:\n    def __init__(self): self.time.time = time.time\n", 0),
    ],
)
def test_a_call_of_the_clock_is_found(tmp_path: Path, text: str, seen: int) -> None:
    """The checker finds a call of a clock under any name, and allows a clock as a value."""
    assert len(calls(write(tmp_path, {"history/recorder.py": text}), read_clock)) == seen


def test_an_entry_point_may_read_the_clock(tmp_path: Path) -> None:
    """The command line may call a wall clock."""
    assert calls(write(tmp_path, {"cli.py": "import time\ntime.time()\n"}), read_clock) == []


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30)
    return listed.stdout.decode().split("\0")[:-1]


def test_nothing_generated_or_secret_is_tracked() -> None:
    """Databases, compiled files, environments and `.env` stay out of the repository."""
    endings = (".pyc", ".pyo", ".db", ".db-wal", ".db-shm", ".sqlite3", ".log", ".pem", ".key")
    folders = {"__pycache__", ".venv", "node_modules", ".hypothesis", "dist", "build"}
    wrong = [
        path
        for path in tracked()
        if path.endswith(endings) or Path(path).name == ".env" or folders.intersection(Path(path).parts)
    ]
    assert not wrong, f"tracked by git, but generated or secret: {', '.join(wrong)}"


def test_no_file_is_long() -> None:
    """No file has more than 500 lines; those with more than 400 are printed."""
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (PACKAGE, ROOT / "tests")
        for path in folder.rglob("*.py")
    }
    long = {path: lines for path, lines in sorted(lengths.items()) if lines > USUAL_LINES}
    print("\n".join(f"{path} has {lines} lines" for path, lines in long.items()))
    too_long = [f"{path} has {lines} lines; split it by ideas" for path, lines in long.items() if lines > MOST_LINES]
    report(too_long)
