"""The connections to Redis, on the event loop that gateways run on."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import redis.exceptions

from cryptomarket.cluster.redis.client import redis_client, with_fresh_connection
from tests.redis_server import running_redis

uvloop = pytest.importorskip("uvloop")


def test_sending_on_a_broken_connection_raises_the_library_s_error(tmp_path: Path) -> None:
    """It raises ConnectionError instead of the loop's RuntimeError, and the next command works."""

    async def main() -> None:
        async with running_redis(tmp_path) as server, redis_client(server.url, command_seconds=5) as client:
            connection = await client.connection_pool.get_connection()
            connection._writer.transport.abort()
            await anyio.lowlevel.checkpoint()
            with pytest.raises(redis.exceptions.ConnectionError):
                await connection.send_command("PING")
            await client.connection_pool.release(connection)
            assert await client.ping()

    anyio.run(main, backend_options={"use_uvloop": True})


async def test_a_command_survives_a_restart_of_redis(tmp_path: Path) -> None:
    """The pool's dead connections are replaced, and the command is sent again."""
    async with running_redis(tmp_path) as server, redis_client(server.url, command_seconds=5) as client:
        assert await client.ping()
        await server.kill()
        await server.start()
        assert await with_fresh_connection(client, client.ping)
