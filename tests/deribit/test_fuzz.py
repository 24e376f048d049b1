"""The bounded run of the fuzzer; the long one is ``python -m tests.deribit.fuzz``."""

import os

from .fuzz import fuzz

FRAMES = int(os.environ.get("CRYPTOMARKET_FUZZ", "100000"))


def test_mutated_frames_crash_nothing_and_forge_no_price() -> None:
    """Whatever happens to a recorded frame, only prices that it still says come out, and memory stays flat."""
    verdict = fuzz(FRAMES, seed=3)
    assert verdict.frames == FRAMES
    assert verdict.ticks > FRAMES / 100
    assert verdict.grown_mib < 10
