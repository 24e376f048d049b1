"""Public names of the package: none contains a retired word, and no class name is used twice."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptomarket"

#: Metaphors that standard words of the field replaced; `docs/glossary.md` has the standard words.
RETIRED = frozenset(
    re.findall(
        r"\w+",
        """office desk errand bulletin roster patience news feed audience house hurry strike wish stray wheel mailbox
        trouble intake front announcer upkeep past visitor asked told memory term board paint""",
    )
)
#: Names with a retired word that is the standard word of a protocol or the field.
ALLOWED = frozenset({"MemoryBackend", "MemoryCache", "UdfDatafeed", "memory"})
#: The code of the dashboard page, where "board" is allowed.
DASHBOARD = ("web/pages/", "web/frontend/")


def words(name: str) -> set[str]:
    """Return the words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def public_names() -> Iterator[tuple[str, str, str]]:
    """Return the place, kind and name of every public module, class, function and method."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not path.stem.startswith("_"):
            yield place, "module", path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                yield place, "class" if isinstance(node, ast.ClassDef) else "function", node.name


def test_no_public_name_contains_a_retired_word() -> None:
    """No public name of a module, class, function or method contains a retired word."""
    found = [
        f"{place}: {kind} {name}"
        for place, kind, name in public_names()
        if name not in ALLOWED and (words(name) & RETIRED) - ({"board"} if place.startswith(DASHBOARD) else set())
    ]
    assert found == []


def test_no_two_public_classes_share_a_name() -> None:
    """A public class name is used once in the whole package."""
    places: dict[str, set[str]] = defaultdict(set)
    for place, kind, name in public_names():
        if kind == "class":
            places[name].add(place)
    assert {name: sorted(where) for name, where in places.items() if len(where) > 1} == {}
