"""How streams end when a node stops: evenly over a window, so that their browsers do not all reconnect at once."""

from collections.abc import Callable, Sequence

import anyio
import structlog

from .subscribers import Stream

__all__ = ["RETRY_SECONDS", "end_evenly"]

log = structlog.get_logger(__name__)

#: The range of the pause before reconnecting, in seconds.
RETRY_SECONDS = (1.0, 5.0)
#: The range at a stop whose window is longer than SHORT_WINDOW_SECONDS.
LATE_RETRY_SECONDS, SHORT_WINDOW_SECONDS = (4.0, 5.0), 2.0
#: How often the streams whose turn has come are ended.
STEP_SECONDS = 0.05
#: So many ends a second are no burst: with few streams a process need not use the whole window.
CALM_PER_SECOND = 100


async def end_evenly(
    streams: Sequence[Stream],
    window_seconds: float,
    *,
    end: Callable[[Stream, tuple[float, float]], None],
    abort: Callable[[Stream], None],
    monotonic: Callable[[], float],
) -> None:
    """Call ``end(stream, range of its pause)`` for every stream, in order, evenly over at most the window.

    When it is cancelled, ``abort`` is called for those that are left: an open connection would keep the server alive.
    """
    window_seconds = min(window_seconds, len(streams) / CALM_PER_SECOND)
    # Browsers return at the end of their stream plus their pause. The peak is lowest, at most 1.5 times the mean, when
    # only one of the two is spread. In a long window the ends are, and pauses are long, as a lone node is not back yet.
    pauses = RETRY_SECONDS if window_seconds <= SHORT_WINDOW_SECONDS else LATE_RETRY_SECONDS
    log.info("streams draining", streams=len(streams), window_seconds=window_seconds)
    began, ended = monotonic(), 0
    try:
        while ended < len(streams):
            passed = monotonic() - began
            share = 1.0 if window_seconds <= 0 else min(1.0, passed / window_seconds)
            for stream in streams[ended : int(share * len(streams))]:
                end(stream, pauses)
            ended = int(share * len(streams))
            if ended < len(streams):
                await anyio.sleep(min(STEP_SECONDS, window_seconds))
    finally:
        for stream in streams[ended:]:
            abort(stream)
    log.info("streams drained", streams=len(streams))
