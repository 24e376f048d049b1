"""No regular expression of the package takes more than linear time, whatever text it meets."""

import time
from collections.abc import Callable

import pytest

from tests.patterns import SIZE, Found, hostile_texts, package_patterns, weaknesses

#: Patterns that the lint refuses, and why they are safe.
SAFE = {
    r"[0-9]{1,100}(?:[-:.][0-9]{1,100})*": "each repetition begins with a separator, which is no digit",
}

#: Seconds of CPU for one text of 32 KB; a pattern that takes quadratic time needs a second and more.
BUDGET = 0.1

PATTERNS = package_patterns()


@pytest.mark.parametrize("found", PATTERNS, ids=lambda found: found.place)
def test_each_pattern_is_linear_by_its_form(found: Found) -> None:
    reasons = weaknesses(found)
    assert not reasons or found.pattern in SAFE, f"{found.place}: {found.pattern!r} has {', '.join(reasons)}"


@pytest.mark.parametrize("found", PATTERNS, ids=lambda found: found.place)
def test_each_pattern_is_quick_on_hostile_texts(found: Found) -> None:
    assert _slowest(found) < BUDGET


def _slowest(found: Found, size: int = SIZE) -> float:
    """The CPU seconds for the slowest of the texts; stops at the first that is too slow."""
    compiled, slowest = found.compiled(), 0.0
    calls: list[Callable[[str | bytes], object]]
    calls = [compiled.findall, compiled.search] if found.searched else [compiled.match, compiled.fullmatch]
    for text in hostile_texts(found, size):
        subject = text.encode("latin-1", "replace") if isinstance(found.pattern, bytes) else text
        assert len(subject) >= size - 64
        before = time.thread_time()
        for call in calls:
            call(subject)
        slowest = max(slowest, time.thread_time() - before)
        if slowest > BUDGET:
            break
    return slowest


def test_the_patterns_are_found_in_every_form() -> None:
    places = {found.place.rpartition(":")[0] for found in PATTERNS}
    assert len(PATTERNS) > 35
    for module in ("settings", "simulator/channels", "conformance/checks", "web/api/openapi", "stream/events"):
        assert f"cryptomarket/{module}.py" in places
    searched = {found.name: found.searched for found in PATTERNS}
    assert searched["_DATE"] is False
    assert searched["_LINE_END"] is True


@pytest.mark.parametrize(
    ("found", "slow"),
    [
        (Found("the plus that was lost", r"(T.+) (\d{2}:?\d{2})\Z"), True),
        (
            Found(
                "language ranges",
                r"\s*([a-zA-Z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*\Z",
                searched=False,
            ),
            True,
        ),
        (Found("nested", r"(?:a+)+b\Z", searched=False), False),  # never ends, so it is judged by its form alone
        (Found("trailing spaces", r"\s+\Z"), False),  # refused by its form only: the matcher has a shortcut
        (Found("alternatives", r"(?:a|a*)*\Z", searched=False), False),
    ],
    ids=lambda found: getattr(found, "place", found),
)
def test_weak_patterns_are_noticed(found: Found, slow: bool) -> None:
    assert weaknesses(found)
    assert not slow or _slowest(found, SIZE // 4) > BUDGET


@pytest.mark.parametrize(
    "found",
    [
        Found("fields", r"[a-z]+=[0-9]+\Z", searched=False),
        Found("letters in order", r"a*b*c*\Z", searched=False),
        Found("optional spaces", r"text( *; *charset)?\Z", searched=False),
        Found("line ends", r"(?:\r\n|\n|\r)+"),
        Found("numbers", r"\d{1,3}(?:\.\d{1,3}){3}"),
        Found("from the start", r"^[0-9]+-[0-9]+$"),
    ],
    ids=lambda found: found.place,
)
def test_linear_patterns_are_not_refused(found: Found) -> None:
    assert not weaknesses(found)


def test_exceptions_are_still_needed() -> None:
    assert {found.pattern for found in PATTERNS if weaknesses(found)} == SAFE.keys()
