"""The way to Redis, on the loop that gateways run on."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import redis.exceptions

from cryptomarket.cluster.redis.client import redis_client
from tests.redis_server import running_redis

uvloop = pytest.importorskip("uvloop")


def test_a_connection_that_broke_is_an_error_of_the_library(tmp_path: Path) -> None:
    """What is sent into a closed connection raises what callers know, and the client goes on with the next."""

    async def main() -> None:
        async with running_redis(tmp_path) as server, redis_client(server.url, connect_seconds=5, seconds=5) as client:
            connection = await client.connection_pool.get_connection()
            connection._writer.transport.abort()
            await anyio.lowlevel.checkpoint()
            with pytest.raises(redis.exceptions.ConnectionError):
                await connection.send_command("PING")
            await client.connection_pool.release(connection)
            assert await client.ping()

    anyio.run(main, backend_options={"use_uvloop": True})
