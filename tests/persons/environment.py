"""A cluster of several nodes with many persons and browsers, and a record of what each browser may receive.

Everything between the leader's request and the bytes of a stream is real. One message bus joins the nodes, and the
exchange is the simulator without its socket.
"""

import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
from cryptography.fernet import Fernet
from starlette.requests import Request

from cryptomarket.app.persons import Persons
from cryptomarket.cluster.single import SingleNode
from cryptomarket.errors import NotLoggedIn
from cryptomarket.persons.browser_sessions import Claims
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.leader_requests import LoginRequest, LoginsRequest
from cryptomarket.persons.login_secrets import LoginSecrets
from cryptomarket.persons.person_door import key_doors
from cryptomarket.persons.session_cookies import SessionCookies
from cryptomarket.persons.vault import Vault
from cryptomarket.public_site import ANY_SITE
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.stream.subscribers import Stream, Subscription

from .simulated import SimulatedCalls

__all__ = ["PersonCluster"]

_DATA = re.compile(rb"event: connection\ndata: ([^\n]+)")


@dataclass
class CheckingSink:
    """The reader of one stream, which checks every personal event."""

    cluster: "PersonCluster"
    session: str

    @staticmethod
    def framed(data: bytes) -> bytes:
        return data

    def write(self, frame: bytes) -> bool:
        for data in _DATA.findall(frame):
            self.cluster.check(self.session, json.loads(data))
        return True

    def when_drained(self, resume: Any) -> None:
        raise AssertionError("this reader is never slow")

    def close(self, farewell: bytes) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to close."""


class Node:
    """One node: its streams and its parts of persons, over the cache of all nodes."""

    def __init__(self, cache: MemoryCache, vault: Vault, bus: SingleNode) -> None:
        self.manager = ServerSSEManager("connection")
        self.persons = Persons(
            cache,
            vault,
            request_leader=self._request_leader,
            publish=bus.publish,
            has_leader=lambda: True,
            streams=self.manager,
            logins_per_minute=1_000,
        )
        self.manager.subscribe_sessions(self.persons.notifier.stream_opened)
        bus.subscribe(self.persons.notifier.on_message)

    async def _request_leader(self, body: bytes, /, *, seconds: float) -> bytes:
        raise AssertionError("requests go to the leader directly")


@dataclass
class PersonCluster:
    """The nodes, their open streams, and who is logged in where."""

    size: int = 3
    received: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = Fernet.generate_key().decode()
        self.vault, self.cache, self.bus = Vault(lambda: (key,)), MemoryCache(), SingleNode(epoch=1)
        self.nodes = [Node(self.cache, self.vault, self.bus) for _ in range(self.size)]
        self.exchange = SimulatedCalls((), time.time)
        doors = key_doors(self.exchange, exchange_time=self.exchange.clock.now)
        self.leader = self.nodes[0].persons.leader_worker(doors)
        self.cookies: dict[int, str] = {}  # by browser
        self.sessions: dict[int, str] = {}
        self.streams: list[tuple[Node, Stream]] = []
        self.person_of: dict[str, str] = {}  # by browser session
        self.allowed: set[tuple[str, str]] = set()  # the ends and failures that a session may receive

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the notifiers of all nodes."""
        async with anyio.create_task_group() as tasks:
            for node in self.nodes:
                await tasks.start(node.persons.notifier.run)
            await tasks.start(self.leader.run)
            yield
            tasks.cancel_scope.cancel()

    def check(self, session: str, event: dict[str, Any]) -> None:
        """Count an event that a stream of the session received; note it in ``wrong`` if it is not the session's own."""
        kind = event["kind"]
        if kind == "person":
            self.received += 1
            claims = msgspec.json.decode(self.vault.claims(event["token"], seconds=60), type=Claims)
            persons = {event["person_id"], claims.person_id}
            if persons != {self.person_of.get(session)} or claims.session != session:
                self.wrong.append(f"{session[:8]} of {self.person_of.get(session)} received {event['person_id']}")
        elif kind in ("login_failed", "logged_out"):
            self.received += 1
            if (session, kind) not in self.allowed:
                self.wrong.append(f"{session[:8]} received {kind}")

    def session(self, browser: int) -> str:
        """The session of a browser, which has its cookie."""
        if browser not in self.sessions:
            scope = {"type": "http", "scheme": "http", "headers": []}
            session, headers = SessionCookies(self.vault.keyring, ANY_SITE).new(Request(scope))
            self.sessions[browser], self.cookies[browser] = session, headers["Set-Cookie"].partition(";")[0]
        return self.sessions[browser]

    async def open(self, browser: int, node: int) -> None:
        """Open a stream of the browser at a node."""
        place, session = self.nodes[node % self.size], self.session(browser)
        self.streams.append((place, place.manager.join(CheckingSink(self, session), Subscription(session=session))))
        await _settle()

    async def close(self, number: int) -> None:
        """Close a stream."""
        if self.streams:
            place, stream = self.streams.pop(number % len(self.streams))
            place.manager.leave(stream)

    async def log_in(self, browser: int, person: int, *, right: bool = True) -> None:
        """Log a person in from a browser; with ``right`` false the exchange does not know the key."""
        session = self.session(browser)
        client_id = f"key-{person}" if right else "none"
        if client_id not in self.exchange.exchange.state.accounts.known and right:
            account = SimulatedAccount(client_id, "secret", number=person + 1)
            self.exchange.exchange.state.accounts.known[client_id] = account
        login_id = await LoginSecrets(self.cache, self.vault).put(client_id, bytearray(b"secret"))
        if right:
            if self.person_of.get(session, str(person + 1)) != str(person + 1):
                self.allowed.add((session, "logged_out"))
            self.person_of[session] = str(person + 1)
        else:
            self.allowed.add((session, "login_failed"))
        request = LoginRequest(login_id, session, "client", "192.0.2.1", time.time())
        await self.leader.handle(msgspec.json.encode(LoginsRequest([request])))
        await _settle()

    async def log_out(self, browser: int, node: int) -> None:
        """Log out, at a node, the person of a browser, who is logged out in all browsers."""
        authenticator = self.nodes[node % self.size].persons.services.authenticator
        session = self.session(browser)
        headers = [(b"host", b"here.example"), (b"cookie", self.cookies[browser].encode())]
        scope = {"type": "http", "method": "DELETE", "path": "/", "scheme": "http", "headers": headers}
        expected = self.person_of.get(session)
        try:
            person = await authenticator.person(Request(scope))
        except NotLoggedIn:
            if expected is not None:
                self.wrong.append(f"{expected} is no longer logged in")
            return
        if person.person_id != expected:
            self.wrong.append(f"{person.person_id} is the person of the request instead of {expected}")
        ended = [session for session, one in self.person_of.items() if one == person.person_id]
        for session in ended:
            del self.person_of[session]
            self.allowed.add((session, "logged_out"))
        await authenticator.log_out(person)
        await _settle()

    async def step(self, dice: random.Random, browsers: int, persons: int) -> None:
        """Do one random thing."""
        browser, person, node = dice.randrange(browsers), dice.randrange(persons), dice.randrange(self.size)
        draw = dice.random()
        if draw < 0.35:
            await self.open(browser, node)
        elif draw < 0.5 or len(self.streams) > 3 * browsers:
            await self.close(dice.randrange(10_000))
        elif draw < 0.85:
            await self.log_in(browser, person)
        elif draw < 0.9:
            await self.log_in(browser, person, right=False)
        else:
            await self.log_out(browser, node)


async def _settle() -> None:
    """Let every task go on until it waits; a look before the end of a log-in costs a tenth of a second."""
    for _ in range(40):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()
