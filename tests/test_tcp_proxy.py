"""The tests' own TCP proxy does what its faults say, since other tests believe it."""

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
async def line() -> AsyncIterator[tuple[TcpProxy, SocketStream]]:
    """A proxy to a server that says what it hears, and a client of it."""
    async with (
        listening(_echo) as port,
        tcp_proxy(port) as proxy,
        await anyio.connect_tcp("127.0.0.1", proxy.port) as client,
    ):
        yield proxy, client


async def said(client: SocketStream, words: bytes) -> bytes:
    """What comes back of the words, whole."""
    await client.send(words)
    heard = b""
    with anyio.fail_after(60):
        while len(heard) < len(words):
            heard += await client.receive()
    return heard


async def test_bytes_pass_whole_delayed_or_in_pieces() -> None:
    """Neither a delay nor slicing changes what arrives."""
    async with line() as (proxy, client):
        assert await said(client, b"hello") == b"hello"
        proxy.spoil, proxy.delay_seconds = slices(1), 0.05
        started = anyio.current_time()
        assert await said(client, b"hello") == b"hello"
        assert anyio.current_time() - started >= 0.1  # both ways


async def test_what_is_held_back_arrives_when_mended() -> None:
    """Half-open: the connection stands, a new one too, and nothing comes until the line is mended."""
    async with line() as (proxy, client):
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


async def test_a_cut_line_breaks_old_and_new_connections() -> None:
    """Until mended nothing gets through; then a new connection does."""
    async with line() as (proxy, client):
        assert await said(client, b"hello") == b"hello"
        proxy.cut()
        with anyio.fail_after(60), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await client.receive()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as refused:
            with anyio.fail_after(60), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await said(refused, b"hello")
        proxy.mend()
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as again:
            assert await said(again, b"hello") == b"hello"


async def test_it_leads_to_a_socket_of_a_file(tmp_path: Path) -> None:
    """PostgreSQL of the tests listens on nothing else."""
    path = tmp_path / "socket"
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, _echo)
        async with tcp_proxy(path) as proxy, await anyio.connect_tcp("127.0.0.1", proxy.port) as client:
            assert await said(client, b"hello") == b"hello"
        tasks.cancel_scope.cancel()
