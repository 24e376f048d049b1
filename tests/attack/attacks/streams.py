"""Streams that ask for much: others' tickers, every cohort, replays, reconnects."""

import asyncio

from ..attacker import Attack, Attacker, request

__all__ = ["STREAMS"]

COINS = ("BTC", "ETH")
#: Names that may or may not be listed; the gateway learns of the listed ones by its catalogue.
PERPETUALS = ("BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL", "XRP_USDC-PERPETUAL")


async def _held(attacker: Attacker, path: str, seconds: float) -> str:
    """Open a stream and read it for some seconds."""
    async with attacker.connected() as connection:
        connection.send(request(path))
        status = await connection.status()
        if status != "200":
            return status
        await connection.drain(seconds)
        return "200 ended" if connection.reader.at_eof() else "200 held"


async def names(attacker: Attacker, count: int) -> list[str]:
    """Return listed names, asked of the gateway as anybody may."""
    if not _LISTED:
        async with attacker.connected() as connection:
            connection.send(request("/api/v1/tickers?limit=10000", "Connection: close"))
            await connection.status()
            text = (await connection.reader.read(1_000_000)).decode("latin-1")
            while more := await connection.reader.read(1_000_000):
                text += more.decode("latin-1")
        _LISTED.extend(word for word in text.split('"') if word.startswith(COINS) and "-" in word)
    return attacker.dice.sample(_LISTED, min(count, len(_LISTED))) or ["BTC-PERPETUAL"]


_LISTED: list[str] = []


class DemandedInstruments(Attack):
    """Streams of 20 other instruments each: ten filled the pool of tickers, and others were refused with 422."""

    per_second = 2
    at_once = 100
    seconds = 60

    async def attempt(self, attacker: Attacker) -> str:
        wanted = ",".join(await names(attacker, 20))
        return await _held(attacker, f"/sse/?timer=60&channels={wanted}", 45)


class QuietInstrument(Attack):
    """One stream of an instrument that seldom changes: it made the whole node `stale` and `/readyz` 503."""

    per_second = 4
    at_once = 100
    seconds = 40

    async def attempt(self, attacker: Attacker) -> str:
        (name,) = await names(attacker, 1)
        return await _held(attacker, f"/sse/?timer=1&channels={name}", 25)


class ChurnedInstruments(Attack):
    """Short streams of ever other instruments, which are subscribed and released at the exchange again and again."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        wanted = ",".join(await names(attacker, 3))
        return await _held(attacker, f"/sse/?timer=0&channels={wanted}", 0.5)


class RememberedQueries(Attack):
    """Valid queries of 30 KB that differ, which a cache by query would keep."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        text = f"{attacker.dice.getrandbits(60):x}" * 1_900
        return await attacker.get(f"/sse/?timer=3600&lastEventId={text}")


class UnknownInstruments(Attack):
    """Ended, expired and unknown names, alone and among known ones."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        name = attacker.dice.choice(
            ("BTC-16APR21-1400-P", "ETH-1JAN70", "BTC-PERPETUAL-X", "btc_usd_x", "connection,connection", "CONNECTION")
        )
        return await attacker.get(f"/sse/?channels=btc_usd,{name}")


class HoardedStreams(Attack):
    """As many streams as each address may hold, open to the end: half of all addresses try for twenty each."""

    per_second = 30
    at_once = 2_500
    seconds = 200

    async def attempt(self, attacker: Attacker) -> str:
        return await _held(attacker, "/sse/?timer=3600&channels=btc_usd", 180)


class ReconnectStorm(Attack):
    """Streams that are opened, read for a moment and opened again."""

    per_second = 30
    at_once = 100

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            connection.send(request("/sse/?timer=1"))
            status = await connection.status()
            await asyncio.sleep(0.1)
            connection.abort()
            return status


class EveryCohort(Attack):
    """A stream of its own timer and its own tickers: each is a group of one, which is encoded for itself."""

    per_second = 15
    at_once = 900
    seconds = 80

    async def attempt(self, attacker: Attacker) -> str:
        tickers = ["btc_usd", "eth_usd", *(await names(attacker, 6))]
        attacker.dice.shuffle(tickers)
        timer = attacker.dice.choice((0, 0, 0, 0.1, 0.2, attacker.dice.randrange(1, 50) / 10))
        chosen = ",".join(tickers[: attacker.dice.randrange(1, 9)])
        return await _held(attacker, f"/sse/?timer={timer}&channels={chosen}", 60)


class Replays(Attack):
    """Resumes from the oldest event again and again: every answer carries all that the log keeps."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        tickers = ",".join(["btc_usd", "eth_usd", *PERPETUALS[:2], *(await names(attacker, 10))])
        last = attacker.dice.choice(("1-1", "1-0", "0-0", "1-" + "9" * 30_000, "9" * 18 + "-1", "x", "-", "1-1-1"))
        async with attacker.connected() as connection:
            connection.send(request(f"/sse/?timer=0&channels={tickers}", f"Last-Event-ID: {last}"))
            status = await connection.status()
            await connection.drain(1)
            return status


class BytesOnStreams(Attack):
    """Bytes sent on an open stream: a second request, a body, anything."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        async with attacker.connected() as connection:
            connection.send(request("/sse/?timer=1"))
            status = await connection.status()
            connection.send(attacker.dice.choice((request("/"), b"\0" * 60_000, b"GET / HTTP/1.1\r\n\r\n" * 3_000)))
            await connection.drain(2)
            return f"{status} {'ended' if connection.reader.at_eof() else 'held'}"


STREAMS = (
    DemandedInstruments,
    QuietInstrument,
    ChurnedInstruments,
    RememberedQueries,
    UnknownInstruments,
    HoardedStreams,
    ReconnectStorm,
    EveryCohort,
    Replays,
    BytesOnStreams,
)
