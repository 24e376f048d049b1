"""The journeys of docs/architecture.md: every named file and function exists, and each function calls the next."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptomarket"
#: One step, which ends with "Calls `publish`, bound in `app/leader.py`." or with "Leaves it in `_queue`."
STEP = re.compile(
    r"^\d+\. `(?P<file>[\w/]+\.py)` `(?P<function>[\w.]+)`[^\n]*?"
    r"(?: Calls `(?P<calls>\w+)`(?:, bound in `(?P<binder>[\w/]+\.py)`)?\."
    r"| Leaves it in `(?P<leaves>\w+)`(?:, read from `(?P<reads>\w+)`)?\.)?$"
)
#: The most files that a reader has to open to follow a journey from end to end.
MOST_FILES = {"A tick": 12, "A secret": 10, "A slot": 11, "A request": 12}


@dataclass(frozen=True)
class Step:
    """One step of a journey.

    ``binder`` is the file that passes the next function in as a callable; ``leaves`` is the attribute in which the next
    function finds the data, under that name or as ``reads``.
    """

    file: str
    function: str
    calls: str | None
    binder: str | None
    leaves: str | None
    reads: str | None


def journeys(text: str) -> dict[str, list[Step]]:
    """Return the numbered steps under each heading ``### ...`` of the section ``## Four journeys``."""
    section = text.split("\n## Four journeys\n")[1].split("\n## ")[0]
    found: dict[str, list[Step]] = {}
    for part in section.split("\n### ")[1:]:
        title, _, body = part.partition("\n")
        lines = [line for line in re.sub(r"\n   +", " ", body).splitlines() if re.match(r"\d+\. ", line)]
        matches = [(line, STEP.match(line)) for line in lines]
        assert all(match for _, match in matches), [line for line, match in matches if not match]
        found[title] = [Step(**m.groupdict()) for _, m in matches if m]
    return found


DOCUMENT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
JOURNEYS = journeys(DOCUMENT)


def definition(file: str, function: str) -> ast.AST | None:
    """Return the function, method or class of that qualified name."""
    node: ast.AST = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    for name in function.split("."):
        inner = [
            child
            for child in ast.walk(node)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name == name
        ]
        if not inner:
            return None
        node = inner[0]
    return node


def names_in(node: ast.AST) -> set[str]:
    """Return every name and attribute that the function uses."""
    return {
        child.attr if isinstance(child, ast.Attribute) else child.id
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute | ast.Name)
    }


def test_the_four_journeys_are_documented() -> None:
    """The page has a tick, a secret, a slot and a request, each with at least five steps."""
    assert set(JOURNEYS) == set(MOST_FILES)
    assert all(len(steps) >= 5 for steps in JOURNEYS.values())


@pytest.mark.parametrize("title", sorted(JOURNEYS))
def test_each_step_exists_and_calls_the_next(title: str) -> None:
    """A step names a function of the package that uses the name of the next step's function."""
    steps = JOURNEYS[title]
    wrong = []
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        node = definition(step.file, step.function) if (PACKAGE / step.file).exists() else None
        if node is None:
            wrong.append(f"{step.file} has no {step.function}")
            continue
        if following is None:
            continue
        if step.leaves:
            receiver = definition(following.file, following.function)
            reads = step.reads or step.leaves
            if step.leaves not in names_in(node) or receiver is None or reads not in names_in(receiver):
                wrong.append(f"{step.file} {step.function} does not leave {step.leaves} to {following.function}")
            continue
        target = following.function.rpartition(".")[2]
        calls = step.calls or target
        if calls not in names_in(node):
            wrong.append(f"{step.file} {step.function} does not use {calls}")
        if step.binder and target not in (PACKAGE / step.binder).read_text(encoding="utf-8"):
            wrong.append(f"{step.binder} does not bind {target}")
        if not step.binder and calls != target:
            wrong.append(f"{step.file} {step.function}: {calls} is not {target}, and no file binds it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("title", sorted(JOURNEYS))
def test_a_journey_is_a_straight_line(title: str) -> None:
    """A journey has few files, and does not return to one that it has left."""
    files = [step.file for step in JOURNEYS[title]]
    visited = [file for place, file in enumerate(files) if not place or files[place - 1] != file]
    assert len(visited) == len(set(visited)), f"visited twice: {sorted({f for f in visited if visited.count(f) > 1})}"
    assert len(visited) <= MOST_FILES[title], visited
