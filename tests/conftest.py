"""For the tests of all rooms: the databases they may ask for, and nothing left to chance or to the machine."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .databases import database_url, postgres, postgres_url, sqlite_url

__all__ = ["database_url", "postgres", "postgres_url", "sqlite_url"]

# The same examples in every run, and no limit on time: a busy machine is no failure, and a failure can be repeated.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# A shell that runs the tests in the background lets them ignore SIGINT, and every program they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files whose tests are all deselected: to import other people's clients takes longer than most tests."""
    expression = config.getoption("markexpr")
    if expression not in ("system", "not system") or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text()
    skipped = "\npytestmark = pytest.mark.system\n" in text if expression == "not system" else "mark.system" not in text
    return skipped or None
