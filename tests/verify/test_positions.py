"""Each unconfirmed statement, simulated in each position: verify finds exactly those that are not as assumed."""

import json
from typing import Any

import anyio
import pytest

from cryptomarket.statements import UNCONFIRMED, Statement
from cryptomarket.statements.statement import DERIBIT, shown
from cryptomarket.verify.registry import CHECKS
from cryptomarket.verify.unchecked import NO_CHECK

from .simulated import KEY, PACE, differing, examined

pytestmark = pytest.mark.system

KINDS = ("deribit", "coinbase-streams", "coinbase-main")
#: What is found only by exceeding a limit: simulated and checked one position at a time.
ALONE = {statement for check in CHECKS if check.exceeds for statement in check.statements}
#: What measures fractions of a second is judged in real time, by a run of its own.
IN_REAL_TIME = {"first_values"}
Position = tuple[str, Any]


def chosen(kind: str) -> list[Statement[Any]]:
    """The unconfirmed statements that verify checks, each at one kind of hosts."""
    ours = [one for one in UNCONFIRMED if one not in NO_CHECK and kind in one.hosts]
    return [one for one in ours if kind == DERIBIT or DERIBIT not in one.hosts]


def groups(kind: str) -> list[dict[str, Any]]:
    """The positions of a kind of hosts in few runs, each of which turns a switch once at most."""
    found: list[dict[str, Any]] = [{}, {}]
    for one in chosen(kind):
        for other in one.others if one not in ALONE and one.name not in IN_REAL_TIME else ():
            fits = [group for group in found if one.name not in group]
            min(fits, key=len)[one.name] = other
    return [group for group in found if group]


async def wrong(kind: str, group: dict[str, Any], **plan: Any) -> dict[str, str]:
    """What a run finds beside the switches that were turned, and what of them it does not find."""
    switches = [f"{name}={json.dumps(value)}" for name, value in group.items()]
    found = differing(await examined(kind, switches, credentials=KEY, **plan))
    expected = {name: shown(value) for name, value in group.items()}
    if "strings_for_numbers" in found:  # the text that was seen says more than yes
        expected["strings_for_numbers"] = found["strings_for_numbers"]
    ignored = IN_REAL_TIME - set(group)
    names = (found | expected).keys() - ignored
    return {name: found.get(name, "") for name in names if found.get(name) != expected.get(name)}


async def failures(runs: list[tuple[str, dict[str, Any], dict[str, Any]]], at_once: int) -> dict[str, Any]:
    """What went wrong, by the switches of the run; a run is a kind of hosts, its switches, and what its plan has."""
    failed: dict[str, Any] = {}
    places = anyio.CapacityLimiter(at_once)

    async def run_one(kind: str, group: dict[str, Any], plan: dict[str, Any]) -> None:
        async with places:
            if found := await wrong(kind, group, **plan):
                failed[f"{kind} {group}"] = found

    async with anyio.create_task_group() as tasks:
        for run in runs:
            tasks.start_soon(run_one, *run)
    return failed


def whole_runs() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Whole runs at exchanges that behave otherwise in some points."""
    runs = [(kind, group) for kind in KINDS for group in groups(kind)]
    assert {name for _, group in runs for name in group} == {
        one.name for kind in KINDS for one in chosen(kind) if one not in ALONE and one.name not in IN_REAL_TIME
    }
    return [(kind, group, {}) for kind, group in runs]


def runs_of_limits() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """A run for each position of what only exceeding a limit shows, or only real time."""
    turned = [one for one in chosen(DERIBIT) if one in ALONE or one.name in IN_REAL_TIME]
    assert {one.name for one in turned} >= {"says_too_many", "close_code", "evicts_sessions"}
    # Over HTTP the credits of faster time refill as fast as requests come.
    paces = {one: 1.0 if one.name in {"too_many_status", *IN_REAL_TIME} else PACE for one in turned}
    return [
        (DERIBIT, {one.name: other}, {"exceed_limits": True, "pace": paces[one], "only": frozenset({one.name})})
        for one in turned
        for other in one.others
    ]


async def test_each_position_is_found_and_nothing_else() -> None:
    """What was turned differs, with its value; most of the runs' time is waiting, so they run at once."""
    assert await failures([*runs_of_limits(), *whole_runs()], 8) == {}
