"""The desk of one process: errands are answered, or failed within their time."""

import anyio
import pytest

from cryptomarket.cluster.rpc import LocalRpc
from cryptomarket.errors import NoLeader


async def _echo(request: bytes) -> bytes:
    return request.upper()


async def test_an_errand_is_answered_by_who_serves() -> None:
    """The answer of the server of the desk comes back to the one who asked."""
    rpc = LocalRpc()
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: rpc.serve(_echo, task_status=task_status))
        assert await rpc.ask(b"hello", seconds=10) == b"HELLO"
        tasks.cancel_scope.cancel()


async def test_nobody_serving_is_said() -> None:
    """Without a server, and after it stopped, an errand fails instead of waiting."""
    rpc = LocalRpc()
    with pytest.raises(NoLeader):
        await rpc.ask(b"hello", seconds=10)
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: rpc.serve(_echo, task_status=task_status))
        tasks.cancel_scope.cancel()
    with pytest.raises(NoLeader):
        await rpc.ask(b"hello", seconds=10)


async def test_an_errand_that_takes_too_long_fails() -> None:
    """The one who asked is told when the time is up."""
    rpc = LocalRpc()

    async def never(_: bytes) -> bytes:
        await anyio.sleep_forever()
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda *, task_status: rpc.serve(never, task_status=task_status))
        with pytest.raises(NoLeader, match="within"):
            await rpc.ask(b"hello", seconds=0.05)
        tasks.cancel_scope.cancel()
