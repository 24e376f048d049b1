"""A page of a browser that is logged in: its stream, what it shows, and requests with its cookie."""

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketStream, TaskGroup, TaskStatus

from cryptomarket.simulator.accounts import SimulatedAccount

__all__ = ["Page"]

_EVENT = re.compile(rb"event: connection\ndata: ([^\n]+)\n")
_COOKIE = re.compile(rb"set-cookie: ([^;\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(eq=False)
class Page:
    """``person`` is who the page shows as logged in, from the events of its stream; ``may_end`` is for the test."""

    account: SimulatedAccount
    cookie: str = ""
    url: str = ""
    person: dict[str, Any] | None = None
    reason: str = ""
    failed: str = ""
    may_end: bool = False
    closed: bool = True
    _requests: SocketStream | None = None
    _tasks: TaskGroup | None = None
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def connect(self, url: str, tasks: TaskGroup) -> None:
        """Open the page at a node: a connection for requests, and a stream that is read in the background."""
        self.close()
        self.url, self._scope, self._tasks = url, anyio.CancelScope(), tasks
        await tasks.start(self._run)

    async def _connection(self) -> SocketStream:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return await anyio.connect_tcp(parts.hostname, parts.port)

    def close(self) -> None:
        """Close the page."""
        self.closed = True
        self._scope.cancel()

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        with self._scope:
            self._requests = await self._connection()
            try:
                if not self.cookie:
                    await self.ask("GET", "/status")
                async with await self._connection() as stream:
                    head = f"GET /sse/?timer=3600&channels=connection HTTP/1.1\r\nHost: x\r\nCookie: {self.cookie}"
                    await stream.send(f"{head}\r\n\r\n".encode())
                    self.closed = False
                    task_status.started()
                    await self._read(stream)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._requests.aclose()
        self.closed = True

    async def _read(self, stream: SocketStream) -> None:
        buffer = b""
        while True:
            try:
                buffer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return
            while found := _EVENT.search(buffer):
                buffer = buffer[found.end() :]
                self._on_event(json.loads(found[1]))

    def _on_event(self, event: dict[str, Any]) -> None:
        match event["kind"]:
            case "person":
                self.person = event
            case "logged_out":
                self.person, self.reason = None, event["reason"]
            case "login_failed":
                self.failed = event["reason"]

    async def ask(self, verb: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request with the cookie; return its status and body, 0 when the node is gone."""
        head = [f"{verb} {path} HTTP/1.1", "Host: x", f"Cookie: {self.cookie}", f"Content-Length: {len(body)}"]
        head += ["Content-Type: application/json"] if body else []
        request = ("\r\n".join(head) + "\r\n\r\n").encode() + body
        for _ in range(2):  # the server closes connections that are idle
            try:
                answer_head, answer = await self._exchange(request)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._reconnect()
                continue
            if cookie := _COOKIE.search(answer_head):
                self.cookie = cookie[1].decode()
            return int(answer_head.split(b" ", 2)[1]), answer
        return 0, b""

    async def _reconnect(self) -> None:
        assert self._requests is not None
        await self._requests.aclose()
        with contextlib.suppress(OSError):
            self._requests = await self._connection()

    async def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        assert self._requests is not None
        await self._requests.send(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._requests.receive()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        while length and len(rest) < int(length[1]):
            rest += await self._requests.receive()
        return head, rest

    async def log_in(self) -> None:
        """Post the credentials until the stream tells who logged in; try again when told to, as a person does."""
        key = {"client_id": self.account.client_id, "client_secret": self.account.client_secret}
        with anyio.fail_after(60):
            while self.person is None:
                self.failed = ""
                status, answer = await self.ask("POST", "/api/v1/persons/login", json.dumps(key).encode())
                assert status == 202, (status, answer)
                assert self._tasks
                await self.connect(self.url, self._tasks)  # with the new cookie
                while self.person is None and not self.failed:
                    await anyio.sleep(0.005)
                assert self.person or "try again" in self.failed, self.failed

    async def disagreement(self) -> str | None:
        """Return how the page, who is logged in, and the balances disagree; None if they agree."""
        me, answer = await self.ask("GET", "/api/v1/persons/me")
        account, _ = await self.ask("GET", "/api/v1/persons/me/account")
        expected = 401 if self.person is None else 200
        if (me, account) != (expected, expected):
            return f"/me {me}, /me/account {account}, the page expects {expected}"
        found = json.loads(answer) if self.person is not None else {}
        shown = {name: (self.person or {}).get(name) for name in found}
        return None if shown == found else f"/me has {found}, the page {shown}"
