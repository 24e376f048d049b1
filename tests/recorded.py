"""Reads the recorded frames of the exchange from a folder outside the project."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

__all__ = ["recorded_folder", "recorded_lines"]


def recorded_folder() -> Path | None:
    """Return the folder of the recordings, or None on a machine without them."""
    named = os.environ.get("CRYPTOMARKET_RECORDED")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "deribit" / "recorded"
    return folder if folder.is_dir() else None


def recorded_lines(pattern: str = "*.jsonl*") -> list[dict[str, Any]]:
    """Return the recorded messages of all matching files; skip the test where there are no recordings."""
    folder = recorded_folder()
    if folder is None:
        pytest.skip("no recordings of the exchange on this machine (set CRYPTOMARKET_RECORDED)")
    lines: list[dict[str, Any]] = []
    for path in sorted(folder.glob(pattern)):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines += [{"file": path.name, **json.loads(line)} for line in raw.splitlines() if line.strip()]
    return lines
