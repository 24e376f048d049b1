"""The bounded run of the fuzzer; the long one is ``python -m tests.deribit.fuzz``."""

import os

import pytest

from .fuzz import fuzz

pytestmark = pytest.mark.system

FRAMES = int(os.environ.get("CRYPTOMARKET_FUZZ", "100000"))


def test_mutated_frames_crash_nothing_and_forge_no_price() -> None:
    """Of a mutated frame only prices that it still contains are published, and the use of memory stays flat."""
    action = fuzz(FRAMES, seed=3)
    assert action.frames == FRAMES
    assert action.ticks > FRAMES / 100
    assert action.grown_mib < 10
