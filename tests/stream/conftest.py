"""One suite for both ways in which a stream is written."""

import functools

import pytest

from .server import PATHS, Serving, served


@pytest.fixture(params=PATHS)
def serving(request: pytest.FixtureRequest) -> Serving:
    """The endpoint on a server, as an ASGI response and on the bare connection."""
    return functools.partial(served, PATHS[request.param])
