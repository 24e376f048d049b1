"""How much the exchange bears, and whom it throws out."""

import time

import anyio
import anyio.lowlevel

from cryptomarket.simulator.exchange import running_exchange

from .client import connected


async def test_five_thousand_notifications_a_second_fit_into_one_core() -> None:
    """Counted in processor time, which other programs on the machine do not change; our reader is counted in."""
    async with running_exchange(time_scale=70) as exchange, connected(exchange) as client:
        names = exchange.state.market.index_names
        await client.result("public/subscribe", channels=[f"deribit_price_index.{name}" for name in names])
        sent, spent = exchange.broadcaster.sent, time.process_time()
        with anyio.fail_after(60):
            while exchange.broadcaster.sent < sent + 5000:
                await client.socket.recv()
        assert (exchange.broadcaster.sent - sent) / (time.process_time() - spent) > 5000


async def test_a_reader_that_does_not_read_is_thrown_out() -> None:
    """What it leaves unread has a limit; then its connection ends, and nobody else's."""
    async with running_exchange() as exchange, connected(exchange) as other:
        slow = await anyio.connect_tcp(exchange.host, exchange.port)
        async with slow:
            await slow.send(
                b"GET /ws/api/v2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Lf+ad6dtrn1VTJtkwsLCFg==\r\n\r\n"
            )
            await slow.receive(10)
            with anyio.fail_after(30):
                while len(exchange.sessions) < 2:
                    await other.result("public/test")
            stalled = exchange.opened_sessions[-1]
            frame = b"\x81\x7f" + (2**20).to_bytes(8, "big") + b"x" * 2**20
            with anyio.fail_after(30):
                while stalled in exchange.sessions:
                    stalled.deliver("announcements", frame)
                    await anyio.lowlevel.checkpoint()
            assert await other.result("public/test")
