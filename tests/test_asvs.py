"""docs/asvs.md names every requirement of ASVS 5.0 of levels 1 and 2 once, each with tests that exist or a reason."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "asvs.md"

#: The numbers of the requirements of levels 1 and 2 of ASVS 5.0.0.
REQUIREMENTS = (TESTS / "supply" / "asvs_requirements.txt").read_text().split()

ROW = re.compile(r"\| ([0-9][0-9.*, ]*) \| (\w+) \| (.+) \|")
PROOF = re.compile(r"`([\w/]+\.py)::(\w+)`")
RESULTS = ("pass", "design", "operator", "none")


def rows() -> Iterator[tuple[list[str], str, str]]:
    for line in PAGE.read_text().splitlines():
        if found := ROW.fullmatch(line):
            yield found[1].split(", "), found[2], found[3]


def named_by(pattern: str) -> list[str]:
    """The requirements that a name of a row stands for; `10.2.*` stands for a whole section."""
    prefix = pattern.removesuffix("*")
    return [one for one in REQUIREMENTS if one == pattern or (prefix != pattern and one.startswith(prefix))]


@cache
def source(path: str) -> str:
    file = TESTS / path
    return file.read_text() if file.is_file() else ""


def test_every_requirement_has_one_row() -> None:
    """None is forgotten, none has two results, and none is invented."""
    names = [name for found, _, _ in rows() for name in found]
    assert [name for name in names if not named_by(name)] == []
    counts = Counter(one for name in names for one in named_by(name))
    assert [one for one in REQUIREMENTS if counts[one] != 1] == []
    assert len(REQUIREMENTS) == 253


@pytest.mark.parametrize("result", RESULTS)
def test_every_row_has_its_proof(result: str) -> None:
    """What passes names a test; everything else has a reason in words."""
    for names, found, text in rows():
        assert found in RESULTS, names
        if found == result:
            assert (PROOF.search(text) is not None) if result == "pass" else text.endswith("."), names


def test_every_named_test_exists() -> None:
    """A test that was renamed or removed proves nothing."""
    named = {proof for _, _, text in rows() for proof in PROOF.findall(text)}
    assert len(named) > 50
    missing = [f"{path}::{name}" for path, name in sorted(named) if f"def {name}(" not in source(path)]
    assert missing == []
