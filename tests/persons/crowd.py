"""Browsers that keep every byte they received, so that it can be searched."""

import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketStream, TaskStatus

from cryptomarket.simulator.accounts import SimulatedAccount

__all__ = ["Crowd", "Tab", "accounts"]

#: Letters that read differently as URL and as base64; the exchange's own secrets have fewer.
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+/%&~"
_OUTCOME = re.compile(rb'\{"kind":"(?:person|login_failed)"[^\n]*\}')
_COOKIE = re.compile(rb"set-cookie: ([^;\r]+)", re.IGNORECASE)
_JOINED = b'"kind":"upstream"'


def _secret(dice: random.Random) -> str:
    return "".join(dice.choices(_LETTERS, k=43))


def accounts(count: int, seed: int = 5) -> list[SimulatedAccount]:
    """Return ``count`` accounts, each with a secret of 43 random letters."""
    dice = random.Random(seed)
    return [
        SimulatedAccount(f"key-{number:03}", _secret(dice), f"person{number}@example.com", f"person{number}")
        for number in range(count)
    ]


@dataclass
class Tab:
    """A browser with one open stream, which follows its cookie; ``received`` has every byte."""

    cookie: str
    reopen: Callable[[], Awaitable[None]]
    received: bytearray = field(default_factory=bytearray)
    seen: int = 0

    async def outcome(self, seconds: float = 40.0) -> dict[str, object]:
        """Return the next outcome of a login on the stream."""
        with anyio.fail_after(seconds):
            while (found := _OUTCOME.search(self.received, self.seen)) is None:
                await anyio.sleep(0.01)
        self.seen = found.end()
        return dict(json.loads(found[0]))


class Crowd:
    """Raw HTTP to one gateway; ``received`` has all responses except streams."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.host, self.port = parts.hostname, parts.port
        self.received = bytearray()
        self.tabs: list[Tab] = []

    def everything(self) -> list[bytes]:
        """Every byte received from the gateway."""
        return [bytes(self.received), *(bytes(tab.received) for tab in self.tabs)]

    def _head(self, verb: str, path: str, headers: dict[str, str]) -> bytes:
        lines = [f"{verb} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()

    async def ask(self, verb: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Send a request on a new connection; return its status and the whole response."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Connection": "close", "Content-Length": str(len(body)), **given}
        async with await anyio.connect_tcp(self.host, self.port) as stream:
            await stream.send(self._head(verb, path, given) + body)
            answer = await _rest(stream)
        self.received += answer
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0, answer

    async def post(self, tab: Tab | None, client_id: str, secret: str, **headers: str) -> int:
        """Post a login, and reopen the stream of the tab if it was accepted; return the status."""
        body = json.dumps({"client_id": client_id, "client_secret": secret}).encode()
        given = {"Content_Type": "application/json", "Cookie": tab.cookie if tab else "", **headers}
        status, answer = await self.ask("POST", "/api/v1/persons/login", body, **given)
        if tab and (found := _COOKIE.search(answer)):
            tab.cookie = found[1].decode()
            await tab.reopen()
        return status

    @asynccontextmanager
    async def half_a_login(self, cookie: str, account: SimulatedAccount) -> AsyncIterator[None]:
        """Send a login without its last two bytes, and close the connection at the end of the block."""
        body = json.dumps({"client_id": account.client_id, "client_secret": account.client_secret}).encode()
        given = {"Content-Type": "application/json", "Cookie": cookie, "Content-Length": str(len(body))}
        async with await anyio.connect_tcp(self.host, self.port) as stream:
            await stream.send(self._head("POST", "/api/v1/persons/login", given) + body[:-2])
            yield

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """Open a new browser session with a stream, which is read in the background."""
        _, page = await self.ask("GET", "/status")
        found = _COOKIE.search(page)
        assert found, page[:500]
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def read(*, task_status: TaskStatus[None]) -> None:
                with scope:
                    async with await anyio.connect_tcp(self.host, self.port) as stream:
                        await stream.send(self._head("GET", "/sse/?timer=3600", {"Cookie": tab.cookie}))
                        task_status.started()
                        await _read_into(stream, tab.received)

            async def reopen() -> None:
                nonlocal scope
                scope.cancel()
                scope, before = anyio.CancelScope(), tab.received.count(_JOINED)
                await tasks.start(read)
                with anyio.fail_after(30):
                    while tab.received.count(_JOINED) == before:
                        await anyio.sleep(0.01)

            tab = Tab(found[1].decode(), reopen)
            self.tabs.append(tab)
            await reopen()
            yield tab
            tasks.cancel_scope.cancel()


async def _read_into(stream: SocketStream, buffer: bytearray) -> None:
    try:
        async for piece in stream:
            buffer += piece
    except (anyio.BrokenResourceError, ConnectionError):
        pass  # the gateway stopped or closed the stream


async def _rest(stream: SocketStream) -> bytes:
    buffer = bytearray()
    await _read_into(stream, buffer)
    return bytes(buffer)
