"""For the tests of all rooms: the databases they may ask for, and nothing left to chance or to the machine."""

import signal

from hypothesis import HealthCheck, settings

from .databases import database_url, postgres, postgres_url, sqlite_url

__all__ = ["database_url", "postgres", "postgres_url", "sqlite_url"]

# The same examples in every run, and no limit on time: a busy machine is no failure, and a failure can be repeated.
settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# A shell that runs the tests in the background lets them ignore SIGINT, and every program they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
