"""Several requests on one connection, and answers that nobody reads."""

from ..attacker import Attack, Attacker, request

__all__ = ["PIPELINES"]

EXPORTS = ("/api/v1/export.ndjson?ticker=btc_usd", "/api/v1/export.csv?ticker=btc_usd")


class PipelineBehindExport(Attack):
    """3,600 requests in 64 KB behind an export that is not read: they cost 14 MB for 90 s, and a traceback of 7 KB."""

    per_second = 1
    at_once = 60
    seconds = 60

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected(receive_buffer=4_096) as connection:
            connection.send(request(EXPORTS[0]))
            connection.send(b"GET / HTTP/1.1\r\n\r\n" * 3_600)
            found = await connection.until_closed(45)
            connection.abort()
            return found


class Pipelined(Attack):
    """64 KB of small requests at once, whose answers are read: one read of the gateway started hundreds of tasks."""

    per_second = 2
    at_once = 20

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            connection.send(request("/healthz") * 1_500)
            status = await connection.status()
            await connection.drain(3)
            return status


class UnreadExport(Attack):
    """An export of everything that is not read: pages of the database wait in memory for its reader."""

    per_second = 2
    at_once = 100
    seconds = 60

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected(receive_buffer=4_096) as connection:
            connection.send(request(attacker.dice.choice(EXPORTS)))
            return await connection.until_closed(45)


class AbortedExport(Attack):
    """An export that is reset after its head: each wrote a traceback of 7 KB into the log."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            connection.send(request(attacker.dice.choice(EXPORTS)))
            status = await connection.status()
            connection.abort()
            return status


class AbortedRequests(Attack):
    """Requests whose client is gone before the answer, some with a second request begun."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            path = attacker.dice.choice(("/", "/sse/?timer=0", "/api/v1/candles?ticker=btc_usd&limit=1000", "/healthz"))
            connection.send(request(path) + attacker.dice.choice((b"", b"GET / HT", request("/"))))
            connection.abort()
            return "aborted"


PIPELINES = (PipelineBehindExport, Pipelined, UnreadExport, AbortedExport, AbortedRequests)
