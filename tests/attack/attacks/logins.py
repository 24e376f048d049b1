"""Log-ins that are wrong, many, or not log-ins at all."""

import base64
import json

from ..attacker import Attack, Attacker, request

__all__ = ["LOGINS"]

LOGIN = "/api/v1/persons/login"
JSON = "Content-Type: application/json"


def _credentials(client_id: str, secret: str) -> bytes:
    return json.dumps({"client_id": client_id, "client_secret": secret}).encode()


class WrongLogins(Attack):
    """Wrong log-ins of new keys from every address: five addresses ended log-in for everybody."""

    per_second = 25

    async def attempt(self, attacker: Attacker) -> str:
        body = _credentials(f"no-{attacker.dice.getrandbits(60):x}", "wrong-secret")
        return await attacker.ask(request(LOGIN, JSON, "Connection: close", method="POST", body=body))


class WrongSecrets(Attack):
    """Wrong secrets for keys of honest persons: their failures must not lock them out."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        body = _credentials(f"key-{attacker.dice.randrange(60):03}", "wrong-secret")
        return await attacker.ask(request(LOGIN, JSON, "Connection: close", method="POST", body=body))


class LoginFlood(Attack):
    """Thirty log-ins of one address at once, of which all but the first ones are to be refused at once."""

    per_second = 0.5
    at_once = 10

    async def attempt(self, attacker: Attacker) -> str:
        body = _credentials(f"no-{attacker.dice.getrandbits(60):x}", "wrong-secret")
        raw = request(LOGIN, JSON, "Connection: close", method="POST", body=body)
        statuses = [await attacker.ask(raw) for _ in range(30)]
        return f"{statuses.count('202')} of 30 accepted"


class WaitingLogins(Attack):
    """Log-ins with an open stream, so that each is told its place while it waits."""

    per_second = 5
    at_once = 100

    async def attempt(self, attacker: Attacker) -> str:
        cookie = f"cryptomarket_session={_session(attacker)}"
        async with attacker.connected() as stream:
            stream.send(request("/sse/?timer=3600", f"Cookie: {cookie}"))
            await stream.status()
            body = _credentials(f"no-{attacker.dice.getrandbits(60):x}", "wrong-secret")
            status = await attacker.ask(
                request(LOGIN, JSON, "Connection: close", f"Cookie: {cookie}", method="POST", body=body)
            )
            await stream.drain(10)
            return status


def _session(attacker: Attacker) -> str:
    return base64.urlsafe_b64encode(attacker.dice.randbytes(32)).decode().rstrip("=")


class OddBodies(Attack):
    """Bodies of log-ins that are large, deep, no JSON, in chunks, compressed, or of another type."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        body, *headers = attacker.dice.choice(
            (
                (b"x" * 60_000, JSON),
                (b"[" * 8_000, JSON),
                (b'{"client_id":' * 600, JSON),
                (_credentials("x" * 4_000, "y" * 4_000), JSON),
                (_credentials("a\n\r\0", "\ud800"), JSON),
                (b"client_id=a&client_secret=b", "Content-Type: application/x-www-form-urlencoded"),
                (b"\x1f\x8b" + b"\0" * 8_000, JSON, "Content-Encoding: gzip"),
                (b'{"client_id":"a","client_secret":' + b"9" * 8_000 + b"}", JSON),
                (b'{"client_id":1e999,"client_secret":"b"}', JSON),
                (b"\xff\xfe" * 4_000, JSON),
            )
        )
        return await attacker.ask(request(LOGIN, *headers, "Connection: close", method="POST", body=body))


class EndlessChunks(Attack):
    """A body in thousands of chunks of one byte, with an extension and trailers each."""

    per_second = 2

    async def attempt(self, attacker: Attacker) -> str:
        head = request(LOGIN, JSON, "Transfer-Encoding: chunked", method="POST")
        return await attacker.ask(head, b"1;a=b\r\n \r\n" * 6_000, b"0\r\nX: y\r\n\r\n")


class GrowingBodies(Attack):
    """A body of thousands of chunks of one byte, on any route: each chunk made the body be copied once more."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        path = attacker.dice.choice((LOGIN, "/", "/api/v1/prices/latest?ticker=btc_usd", "/sse/"))
        head = request(path, JSON, "Transfer-Encoding: chunked", method="POST")
        return await attacker.ask(head, b"1\r\nx\r\n" * 10_000, b"0\r\n\r\n")


class PlantedCookies(Attack):
    """Cookies and tokens that nobody issued, new ones with each request: nothing may be kept for them."""

    per_second = 15

    async def attempt(self, attacker: Attacker) -> str:
        cookie = f"Cookie: cryptomarket_session={_session(attacker)}; __Host-cryptomarket_session={_session(attacker)}"
        path = attacker.dice.choice(("/", "/sse/?timer=1", "/api/v1/persons/me", "/api/v1/persons/me/account"))
        return await attacker.get(path, cookie)


class UnknownTokens(Attack):
    """Bearer tokens that nobody issued, short ones and such of 30 KB, to read and to log out."""

    per_second = 10

    async def attempt(self, attacker: Attacker) -> str:
        token = base64.urlsafe_b64encode(attacker.dice.randbytes(attacker.dice.choice((32, 200, 20_000)))).decode()
        path = attacker.dice.choice(("/api/v1/persons/me", "/api/v1/persons/me/account"))
        return await attacker.get(
            path, f"Authorization: Bearer gAAAAA{token}", method=attacker.dice.choice(("GET", "DELETE"))
        )


LOGINS = (
    WrongLogins,
    WrongSecrets,
    LoginFlood,
    WaitingLogins,
    OddBodies,
    EndlessChunks,
    GrowingBodies,
    PlantedCookies,
    UnknownTokens,
)
