"""The desk of one process: errands are answered, or failed within their time."""

import anyio
import pytest

from cryptomarket.cluster.rpc import LocalDesk
from cryptomarket.errors import NoLeader


async def _echo(errand: bytes) -> bytes:
    return errand.upper()


async def test_an_errand_is_answered_by_who_serves() -> None:
    """The answer of the server of the desk comes back to the one who asked."""
    desk = LocalDesk()
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: desk.serve(_echo, task_status=task_status))
        assert await desk.ask(b"hello", seconds=10) == b"HELLO"
        tasks.cancel_scope.cancel()


async def test_nobody_serving_is_said() -> None:
    """Without a server, and after it stopped, an errand fails instead of waiting."""
    desk = LocalDesk()
    with pytest.raises(NoLeader):
        await desk.ask(b"hello", seconds=10)
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: desk.serve(_echo, task_status=task_status))
        tasks.cancel_scope.cancel()
    with pytest.raises(NoLeader):
        await desk.ask(b"hello", seconds=10)


async def test_an_errand_that_takes_too_long_fails() -> None:
    """The one who asked is told when the time is up."""
    desk = LocalDesk()

    async def never(_: bytes) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: desk.serve(never, task_status=task_status))
        with pytest.raises(NoLeader, match="within"):
            await desk.ask(b"hello", seconds=0.05)
        tasks.cancel_scope.cancel()
