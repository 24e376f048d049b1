"""Public contracts stay as their snapshots say; CHANGELOG.md gives the reason for each difference that is intended."""

import difflib

import pytest

from .snapshots import FOLDER, SNAPSHOTS


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_contract_is_unchanged(name: str) -> None:
    """The contract equals its snapshot, line by line."""
    expected, actual = (FOLDER / name).read_text(), SNAPSHOTS[name]()
    lines = difflib.unified_diff(expected.splitlines(), actual.splitlines(), "snapshot", "now", lineterm="")
    difference = "\n".join(lines)
    assert not difference, (
        f"{name} differs:\n{difference}\n"
        "If this is intended, run `python -m tests.contracts.snapshots` and give the reason in CHANGELOG.md."
    )
