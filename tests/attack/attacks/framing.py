"""Requests that claim to be something else: forged fields, odd hosts, broken framing."""

from ..attacker import Attack, Attacker, request
from .logins import JSON, LOGIN

__all__ = ["FRAMING"]

CREDENTIALS = b'{"client_id":"no-1","client_secret":"wrong"}'


class ForgedTrailers(Attack):
    """Trailers that name another address, cookie and type: they were believed, and passed the limits of log-ins."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        other = f"10.{attacker.dice.randrange(256)}.{attacker.dice.randrange(256)}.1"
        return await attacker.ask(
            request(LOGIN, "Transfer-Encoding: chunked", "Connection: close", method="POST"),
            b"%x\r\n%b\r\n0\r\n" % (len(CREDENTIALS), CREDENTIALS),
            f"Content-Type: application/json\r\nX-Forwarded-For: {other}\r\nCookie: a=b\r\n\r\n".encode(),
        )


class ForgedAddresses(Attack):
    """Headers of proxies with another address in each request: no limit may believe them."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        other = f"10.{attacker.dice.randrange(256)}.{attacker.dice.randrange(256)}.1"
        headers = (
            f"X-Forwarded-For: {other}",
            f"Forwarded: for={other}",
            f"X-Real-IP: {other}",
            "X-Forwarded-Proto: https",
        )
        if attacker.dice.random() < 0.3:
            return await attacker.ask(
                request(LOGIN, JSON, *headers, "Connection: close", method="POST", body=CREDENTIALS)
            )
        return await attacker.get("/api/v1/candles?ticker=btc_usd&limit=5000", *headers)


class OddHosts(Attack):
    """Host names that are foreign, doubled, absent or no name, on pages and on what redirects."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        path = attacker.dice.choice(("/", "/sse", "/static", "/api/v1/prices/latest?ticker=btc_usd"))
        head = attacker.dice.choice(
            (
                "Host: evil.example\r\n",
                "Host: a\r\nHost: b\r\n",
                "",
                "Host: \r\n",
                "Host: a b\r\n",
                f"Host: {'x' * 8_000}\r\n",
                "Host: gateway@evil.example\r\n",
                "Host: [::1\r\n",
            )
        )
        return await attacker.ask(f"GET {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())


class Upgrades(Attack):
    """Requests to speak another protocol: each wrote 413 bytes of warnings."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        protocol = attacker.dice.choice(("websocket", "h2c", "TLS/1.0", "x" * 5_000))
        headers = (
            f"Upgrade: {protocol}",
            "Connection: Upgrade, HTTP2-Settings",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        return await attacker.ask(request(attacker.dice.choice(("/", "/sse/", "/ws")), *headers), seconds=5)


class BrokenFraming(Attack):
    """Bytes that are no request, or two at once: each is to be closed with one answer at most."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        raw = attacker.dice.choice(
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + attacker.dice.randbytes(500),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                b"GET / HTTP/1.1\r\nA : b\r\n c\r\n\r\n",
                b"GET / HTTP/1.1\nHost: a\n\n",
                b"GET /%zz%00/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\r\n" * 10_000,
                attacker.dice.randbytes(2_000),
            )
        )
        return await attacker.ask(raw, seconds=3)


class ForeignOrigins(Attack):
    """Requests of pages of other sites, and preflights, with a new origin each: every one is refused and counted."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        origin = f"Origin: https://{attacker.dice.getrandbits(40):x}.example"
        if attacker.dice.random() < 0.5:
            return await attacker.get("/api/v1/prices", origin, "Access-Control-Request-Method: GET", method="OPTIONS")
        return await attacker.ask(
            request(LOGIN, JSON, origin, "Sec-Fetch-Site: cross-site", method="POST", body=CREDENTIALS)
        )


FRAMING = (ForgedTrailers, ForgedAddresses, OddHosts, Upgrades, BrokenFraming, ForeignOrigins)
