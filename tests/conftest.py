"""Fixtures and settings of all tests: databases, repeatable hypothesis examples, and SIGINT."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .databases import database_url, postgres, postgres_url, sqlite_url

__all__ = ["database_url", "postgres", "postgres_url", "sqlite_url"]

# The same examples in every run make a failure repeatable; without a deadline a busy machine is no failure.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# A shell that runs the tests in the background makes them ignore SIGINT, and programs that they start inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files whose tests are all deselected; importing other clients takes longer than most tests."""
    skips = {
        "not system": lambda text: "\npytestmark = pytest.mark.system\n" in text or "mark.crowd" in text,
        "system and not crowd": lambda text: "mark.system" not in text or "mark.crowd" in text,
        "crowd": lambda text: "mark.crowd" not in text,
    }.get(config.getoption("markexpr"))
    if skips is None or not collection_path.name.startswith("test_"):
        return None
    return skips(collection_path.read_text()) or None
