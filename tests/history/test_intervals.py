"""The ledger's rules, with lists alone."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.history.intervals import (
    Interval,
    Kind,
    Outage,
    cover,
    explain,
    gap_before,
    kept_since,
    mark_pruned,
    merge,
    record,
    runs,
)

RANK = {Kind.MISSING: 1, Kind.BACKFILLED: 2, Kind.OBSERVED: 3}


def observed(start: int, end: int) -> Interval:
    """Heard by ourselves."""
    return Interval(start, end, Kind.OBSERVED, 10)


def filled(start: int, end: int, source: str = "chart") -> Interval:
    """Filled in."""
    return Interval(start, end, Kind.BACKFILLED, 10, source=source)


def missing(start: int, end: int, reason: str = "restart") -> Interval:
    """Lacking."""
    return Interval(start, end, Kind.MISSING, 10, reason=reason)


def test_a_next_slot_extends_the_last_interval() -> None:
    """Slots that follow each other are one interval."""
    assert merge([observed(0, 10)], observed(10, 20)) == [observed(0, 20)]


def test_a_late_slot_closes_the_hole() -> None:
    """A missing slot that arrives after all joins its neighbours to one."""
    ledger = [observed(0, 10), missing(10, 20), observed(20, 30)]
    assert merge(ledger, observed(10, 20)) == [observed(0, 30)]


def test_backfill_takes_only_what_is_missing() -> None:
    """Observed intervals stay observed under a backfill of everything."""
    ledger = [observed(0, 10), missing(10, 40), observed(40, 50)]
    assert merge(ledger, filled(0, 50)) == [observed(0, 10), filled(10, 40), observed(40, 50)]


def test_the_first_backfill_keeps_its_source() -> None:
    """A second source does not rename what the first has filled."""
    assert merge([filled(0, 20, "a")], filled(10, 30, "b")) == [filled(0, 20, "a"), filled(20, 30, "b")]


def test_a_hole_is_entered_with_its_reason() -> None:
    """What lies between the last entry and the new one is missing, and says why."""
    ledger, new = [observed(0, 10)], observed(30, 40)
    assert gap_before(ledger, new) == (10, 30)
    entries = record(ledger, new, [missing(10, 20, "upstream"), missing(20, 30, "upstream")])
    assert entries == [observed(0, 10), missing(10, 30, "upstream"), observed(30, 40)]


def test_a_backfill_before_the_first_record_leaves_no_hole() -> None:
    """Older prices than the first leave an unrecorded stretch between, if there is one."""
    assert record([observed(100, 110)], filled(0, 10)) == [
        filled(0, 10),
        missing(10, 100, "unrecorded"),
        observed(100, 110),
    ]


def test_explains_each_slot_by_the_outage_that_touched_it() -> None:
    """A hole is cut at the slots in which outages begin and end; the rest was silent."""
    outages = [Outage(0, 12, "restart"), Outage(33, 41, "upstream")]
    assert explain(10, 70, 10, outages, "silent") == [
        missing(10, 20, "restart"),
        missing(20, 30, "silent"),
        missing(30, 50, "upstream"),
        missing(50, 70, "silent"),
    ]


def test_what_is_pruned_is_missing_and_says_so() -> None:
    """What was there before the moment is gone; what lacked keeps its reason, and what is younger stays."""
    ledger = [missing(0, 10, "pruned"), observed(10, 20), filled(20, 30), missing(30, 40), observed(40, 90)]
    assert mark_pruned(ledger, 60) == [
        missing(0, 30, "pruned"),
        missing(30, 40),
        missing(40, 60, "pruned"),
        observed(60, 90),
    ]


def test_prices_are_kept_since_a_midnight() -> None:
    """Whole days are pruned, wherever in it the last price was."""
    assert [kept_since(until) for until in (None, 86_400, 86_460, 2 * 86_400)] == [0, 86_400, 172_800, 172_800]


def test_runs_join_neighbouring_slots() -> None:
    """Slots in any order, twice or not, give their stretches."""
    assert runs([30, 0, 10, 10, 50], 10) == [(0, 20), (30, 40), (50, 60)]


def test_a_ledger_of_thousands_of_holes_is_cut_at_once() -> None:
    """The coverage of a year with many missing intervals is computed in linear time, because every page has it."""
    ledger = []
    for start in range(0, 60 * 5_000, 60):
        ledger.append(Interval(start, start + 20, Kind.OBSERVED, 20))
        ledger.append(Interval(start + 20, start + 60, Kind.MISSING, 20, reason="silent"))
    began = time.perf_counter()
    found = cover(ledger, 10, 60 * 5_000 - 10)
    assert time.perf_counter() - began < 2  # a quadratic one took half a minute
    assert [(i.start, i.end) for i in (found.intervals[0], found.intervals[-1])] == [(10, 20), (299_960, 299_990)]
    assert len(found.intervals) == 10_000


def test_a_range_beyond_the_ledger_is_missing() -> None:
    """Before the first and after the last entry nothing is known, and that is not complete."""
    coverage = cover([observed(10, 20)], 0, 30)
    assert coverage.intervals == (missing(0, 10, "unrecorded"), observed(10, 20), missing(20, 30, "unrecorded"))
    assert not coverage.complete
    assert cover([observed(10, 20)], 10, 20).complete
    assert not cover([], 10, 20).complete


claims = st.builds(
    lambda kind, start, length, tag: Interval(
        start,
        start + length,
        kind,
        1,
        source=tag if kind is Kind.BACKFILLED else None,
        reason=tag if kind is Kind.MISSING else None,
    ),
    st.sampled_from(Kind),
    st.integers(0, 40),
    st.integers(1, 15),
    st.sampled_from("ab"),
)


@given(st.lists(claims, max_size=12))
def test_the_ledger_equals_the_claims_second_by_second(history: list[Interval]) -> None:
    """Whatever is claimed in whatever order, each second has its strongest claim, without overlap or hole."""
    ledger: list[Interval] = []
    truth: dict[int, Kind] = {}
    for claim in history:
        gap = gap_before(ledger, claim)
        ledger = record(ledger, claim, [Interval(*gap, Kind.MISSING, 1, reason="a")] if gap else ())
        for second in range(claim.start, claim.end):
            if RANK[claim.kind] >= RANK.get(truth.get(second, Kind.MISSING), 0):
                truth[second] = claim.kind
    for left, right in pairwise(ledger):
        assert left.end == right.start
        assert not right.continues(left)
    covered = {second: entry.kind for entry in ledger for second in range(entry.start, entry.end)}
    assert covered == {second: truth.get(second, Kind.MISSING) for second in covered}
    assert set(truth) <= set(covered)
