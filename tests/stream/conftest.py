"""One suite for both ways in which a stream is written."""

import asyncio
import functools
from collections.abc import Callable, Mapping

import pytest

from .server import PATHS, Serving, served

try:
    from uvloop import new_event_loop
except ImportError:  # there is none for Windows
    from asyncio import new_event_loop  # type: ignore[assignment]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that serves, since both paths lean on what its transports do, and the standard one."""
    return {"uvloop": new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(params=PATHS)
def serving(request: pytest.FixtureRequest) -> Serving:
    """The endpoint on a server, as an ASGI response and on the bare connection."""
    return functools.partial(served, PATHS[request.param])
