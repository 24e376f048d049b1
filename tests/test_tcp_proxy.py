"""The faults of the tests' TCP proxy work, because other tests rely on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from .tcp_proxy import TcpProxy, listening, slices, tcp_proxy


async def _echo(client: SocketStream) -> None:
    async with client:
        async for chunk in client:
            await client.send(chunk)


@asynccontextmanager
async def proxied_client() -> AsyncIterator[tuple[TcpProxy, SocketStream]]:
    """Run a proxy to an echo server, and connect a client."""
    async with (
        listening(_echo) as port,
        tcp_proxy(port) as proxy,
        await anyio.connect_tcp("127.0.0.1", proxy.port) as client,
    ):
        yield proxy, client


async def echoed(client: SocketStream, data: bytes) -> bytes:
    """Send bytes; return the bytes that come back."""
    await client.send(data)
    received = b""
    with anyio.fail_after(60):
        while len(received) < len(data):
            received += await client.receive()
    return received


async def test_bytes_pass_whole_delayed_or_in_pieces() -> None:
    """Neither a delay nor slicing changes what arrives."""
    async with proxied_client() as (proxy, client):
        assert await echoed(client, b"hello") == b"hello"
        proxy.transform, proxy.delay_seconds = slices(1), 0.05
        started = anyio.current_time()
        assert await echoed(client, b"hello") == b"hello"
        assert anyio.current_time() - started >= 0.1  # both ways


async def test_what_is_held_back_arrives_when_mended() -> None:
    """Old and new connections stay open, and held bytes arrive after `mend`."""
    async with proxied_client() as (proxy, client):
        proxy.hold()
        await client.send(b"hello")
        with anyio.move_on_after(0.2) as waited:
            await client.receive()
        assert waited.cancelled_caught
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as other:
            await other.send(b"too")
            proxy.mend()
            with anyio.fail_after(60):
                assert await client.receive() == b"hello"
                assert await other.receive() == b"too"


async def test_a_cut_breaks_old_and_new_connections() -> None:
    """Nothing passes before `mend`; a new connection works afterwards."""
    async with proxied_client() as (proxy, client):
        assert await echoed(client, b"hello") == b"hello"
        proxy.cut()
        with anyio.fail_after(60), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await client.receive()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as refused:
            with anyio.fail_after(60), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await echoed(refused, b"hello")
        proxy.mend()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as again:
            assert await echoed(again, b"hello") == b"hello"


async def test_it_forwards_to_a_unix_socket(tmp_path: Path) -> None:
    """The PostgreSQL of the tests listens only on a UNIX socket."""
    path = tmp_path / "socket"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, _echo)
        async with tcp_proxy(path) as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as client:
            assert await echoed(client, b"hello") == b"hello"
        tasks.cancel_scope.cancel()
