"""Recorded notifications, served in their order with their exact text.

A recording is JSON lines ``{"received_at", "direction", "raw", ...}``, plain or gzipped. Only its notifications are
served; where a line holds the data alone, the documented envelope is put around it.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .encoding import notification

__all__ = ["RecordedNotification", "UnreadableRecording", "read_recordings"]

#: Seconds between frames that were recorded without a receive time.
SPACING_SECONDS = 0.05


class UnreadableRecording(ValueError):
    """A file that is no recording; the message names file and line."""


@dataclass(frozen=True, slots=True)
class RecordedNotification:
    """One recorded notification and the seconds since the one before."""

    channel: str
    text: str
    pause_seconds: float


def read_recordings(paths: Sequence[Path]) -> list[RecordedNotification]:
    """All notifications of the files, one file after the other."""
    found: list[RecordedNotification] = []
    for path in paths:
        found += _read(path)
    return found


def _read(path: Path) -> Iterable[RecordedNotification]:
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).splitlines()
    except (OSError, EOFError, zlib.error) as exc:
        raise UnreadableRecording(f"{path}: cannot be read ({getattr(exc, 'strerror', None) or exc})") from exc
    previous: float | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            found = _notification(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise UnreadableRecording(f"{path}, line {number}: not a recorded message ({exc})") from exc
        at = entry.get("received_at")
        if found is not None:
            pause = SPACING_SECONDS if at is None or previous is None else max(0.0, at - previous)
            yield RecordedNotification(found[0], found[1], pause)
        previous = previous if at is None else at


def _notification(entry: dict[str, Any]) -> tuple[str, str] | None:
    """Returns channel and text, or None for requests, responses, heartbeats and HTTP."""
    if entry["direction"] != "in" or entry.get("transport") == "http" or "url" in entry:
        return None
    raw: str = entry["raw"]
    message = json.loads(raw)
    if entry.get("part") == "params.data":
        return entry["channel"], notification(entry["channel"], raw)
    if entry.get("part") is not None or not isinstance(message, dict) or message.get("method") != "subscription":
        return None
    return message["params"]["channel"], raw
