"""The words of the package: no public name is a word that was retired, and none stands for two things."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptomarket"

#: Metaphors that the field's own words replaced; `docs/glossary.md` has those.
RETIRED = frozenset(
    re.findall(
        r"\w+",
        """office desk errand bulletin roster patience news feed audience house hurry strike wish stray wheel mailbox
        trouble intake front announcer upkeep past visitor asked told memory term board paint""",
    )
)
#: The word of a protocol or of the field, in which a retired one is contained.
ALLOWED = frozenset({"MemoryBackend", "MemoryCache", "UdfDatafeed", "memory"})
#: Where the dashboard is: its page is a board.
DASHBOARD = ("web/pages/", "web/frontend/")


def words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def public_names() -> Iterator[tuple[str, str, str]]:
    """The place, kind and name of every public module, class, function and method."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not path.stem.startswith("_"):
            yield place, "module", path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith(
                "_"
            ):
                yield place, "class" if isinstance(node, ast.ClassDef) else "function", node.name


def test_no_public_name_is_a_retired_word() -> None:
    """A newcomer can guess what every public name means."""
    found = [
        f"{place}: {kind} {name}"
        for place, kind, name in public_names()
        if name not in ALLOWED and (words(name) & RETIRED) - ({"board"} if place.startswith(DASHBOARD) else set())
    ]
    assert found == []


def test_no_two_public_classes_share_a_name() -> None:
    """A class name stands for one thing in the whole package."""
    places: dict[str, set[str]] = defaultdict(set)
    for place, kind, name in public_names():
        if kind == "class":
            places[name].add(place)
    assert {name: sorted(where) for name, where in places.items() if len(where) > 1} == {}
