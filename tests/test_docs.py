"""The documents: links lead somewhere, lists equal the code, and the README stays short."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cryptomarket"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "log"})


def anchors(document: Path) -> set[str]:
    """Return the fragments of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_is_dead(document: Path) -> None:
    """A link to a file names one that exists; a link to a heading names one of that file."""
    text = re.sub(r"^( {4}.*|```.*?^```)$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        place, _, fragment = target.partition("#")
        file = (document.parent / place) if place else document
        if not file.exists() or (fragment and fragment not in anchors(file)):
            dead.append(target)
    assert dead == []


def test_every_document_is_linked_from_the_readme() -> None:
    """The README links to each page of docs/."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in readme] == []


def test_the_readme_is_short() -> None:
    """The README fits one and a half screens: at most 150 lines and 8 kB."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 8_000


def log_events() -> dict[str, set[str]]:
    """Every log event of the package by its name, with its levels; an event name that is no literal is a mistake."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            method, owner = node.func.attr, node.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "log" and method in LOG_METHODS):
                continue
            event = node.args[method == "log"]
            assert isinstance(event, ast.Constant), f"{path.name}:{node.lineno}: the event name must be a literal"
            found.setdefault(str(event.value), set()).add({"exception": "error", "log": "any"}.get(method, method))
    return found


def test_every_log_event_is_documented() -> None:
    """docs/logs.md lists exactly the events that the code logs, each with its level."""
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    listed = {
        event: set(levels.split(", "))
        for event, levels in re.findall(r"^\| (.+?) \| (\w+(?:, \w+)*) \|", text, re.MULTILINE)
    }
    listed.pop("event", None)
    listed.pop("---", None)
    assert listed == log_events()


def test_the_places_for_changes_exist() -> None:
    """Each file of the table in CONTRIBUTING.md exists, and contains the names that stand behind it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| change | place |")[1].split("\n## ")[0]
    missing = []
    for row in table.splitlines():
        file: Path | None = None
        for name in re.findall(r"`([^`*]+)`", row):
            if "/" in name or name.endswith(".py"):
                file = next((place for place in (PACKAGE / name, ROOT / name) if place.exists()), None)
                missing += [] if file else [name]
            elif name.isidentifier() and file is not None and file.is_file():
                missing += (
                    [] if re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) else [f"{file.name}: {name}"]
                )
    assert missing == []
