"""A house of several nodes with many persons and browsers, and the truth beside it: who may be told what.

Everything between the errand of a log-in and the bytes of a stream is the real thing; the bus of one process joins the
nodes, and the exchange is a table of persons.
"""

import itertools
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import msgspec
from cryptography.fernet import Fernet
from starlette.requests import Request

from cryptomarket.cluster.single import SingleNode
from cryptomarket.errors import ExchangeRefused, NotLoggedIn
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.credential_middleware import CIPHERTEXT, KEY
from cryptomarket.persons.front import COOKIE
from cryptomarket.persons.leader_worker import LeaderRequest
from cryptomarket.persons.notifications import Claims
from cryptomarket.persons.office import Office
from cryptomarket.persons.vault import Vault, fingerprint
from cryptomarket.stream.manager import ServerSSEManager
from cryptomarket.stream.subscribers import Stream, Subscription

__all__ = ["House"]

_DATA = re.compile(rb"event: connection\ndata: ([^\n]+)")


class Exchange:
    """Who has which key: ``key-7`` is person 7; a token says whose it is."""

    async def __call__(self, method: str, params: Mapping[str, Any]) -> msgspec.Raw:
        await anyio.lowlevel.checkpoint()
        if method == "public/auth":
            number = str(params["client_id"]).removeprefix("key-")
            if not number.isdigit():
                raise ExchangeRefused(method, 13004, "invalid_credentials")
            answer: dict[str, Any] = {
                "access_token": number,
                "refresh_token": number,
                "expires_in": 97_200,
                "scope": "account:read",
            }
        else:
            answer = {"id": int(params["access_token"]), "username": f"u{params['access_token']}", "email": ""}
        return msgspec.Raw(json.dumps(answer).encode())


@dataclass
class Sink:
    """A reader that checks every personal event when it comes."""

    house: "House"
    session: str

    @staticmethod
    def framed(data: bytes) -> bytes:
        return data

    def write(self, frame: bytes) -> bool:
        for data in _DATA.findall(frame):
            self.house.heard(self.session, json.loads(data))
        return True

    def when_drained(self, resume: Any) -> None:
        raise AssertionError("this reader is never behind")

    def close(self, farewell: bytes) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to close."""


class Node:
    """One node: its streams, and its office over the cache of all."""

    def __init__(self, cache: MemoryCache, vault: Vault, bus: SingleNode) -> None:
        ticks = itertools.count()
        self.manager = ServerSSEManager("connection", arrived=lambda session: self.office.notifier.arrived(session))
        self.office = Office(
            cache,
            vault,
            ask=self._ask,
            publish=bus.publish,
            send=lambda session, data: self.manager.send(session, data),
            present=self.manager.has_session,
            logins_per_minute=1_000,
            monotonic=lambda: float(next(ticks)),  # failures are forgiven before the next
        )
        bus.subscribe(self.office.notifier.on_message)

    async def _ask(self, body: bytes, *, seconds: float) -> bytes:
        raise AssertionError("errands go to the leader directly")


@dataclass
class House:
    """The nodes, the streams that are open, and who is logged in where."""

    nodes: int = 3
    told: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        key = Fernet.generate_key().decode()
        self.vault, self.cache, self.bus = Vault(lambda: (key,)), MemoryCache(), SingleNode(epoch=1)
        self.at = [Node(self.cache, self.vault, self.bus) for _ in range(self.nodes)]
        self.leader = self.at[0].office.service(Exchange())
        self.streams: list[tuple[Node, Stream]] = []
        self.here: dict[str, str] = {}  # the person of each browser session
        self.owed: set[tuple[str, str]] = set()  # endings and failures that may be told
        self.logins = itertools.count()

    def heard(self, session: str, event: dict[str, Any]) -> None:
        """A stream of the session was told something: was it for it?"""
        kind = event["kind"]
        if kind == "person":
            self.told += 1
            claims = msgspec.json.decode(self.vault.claims(event["token"], seconds=60), type=Claims)
            whose = {event["person_id"], claims.person_id}
            if whose != {self.here.get(session)} or claims.session != session:
                self.wrong.append(f"{session[:8]} of {self.here.get(session)} was told of {event['person_id']}")
        elif kind in ("login_failed", "logged_out"):
            self.told += 1
            if (session, kind) not in self.owed:
                self.wrong.append(f"{session[:8]} was told {kind}")

    # What happens in a house

    async def open(self, browser: int, node: int) -> None:
        """A tab of the browser opens at a node."""
        place, session = self.at[node % self.nodes], fingerprint(cookie(browser))
        self.streams.append((place, place.manager.join(Sink(self, session), Subscription(session=session))))
        await self._settled()

    async def close(self, number: int) -> None:
        """A tab closes."""
        if self.streams:
            place, stream = self.streams.pop(number % len(self.streams))
            place.manager.leave(stream)

    async def log_in(self, browser: int, person: int, *, right: bool = True) -> None:
        """A person logs in from a browser, or fails to."""
        login, session = f"login-{next(self.logins)}", fingerprint(cookie(browser))
        ciphertext, key = self.vault.close_secret(bytearray(b"secret"))
        await self.cache.put(CIPHERTEXT % login, ciphertext, 15)
        sealed = msgspec.json.encode((f"key-{person}" if right else "none", key))
        await self.cache.put(KEY % login, self.vault.seal(KEY % login, sealed), 15)
        if right:
            self.here[session] = str(person)
        else:
            self.owed.add((session, "login_failed"))
        await self.leader.handle(msgspec.json.encode(LeaderRequest("login", login=login, session=session, who="w")))
        await self._settled()

    async def log_out(self, browser: int, node: int) -> None:
        """The person of a browser logs out at a node, and with it in all its browsers."""
        office = self.at[node % self.nodes].office
        headers = [(b"host", b"here.example"), (b"cookie", f"{COOKIE}={cookie(browser)}".encode())]
        scope = {"type": "http", "method": "DELETE", "path": "/", "scheme": "http", "headers": headers}
        expected = self.here.get(fingerprint(cookie(browser)))
        try:
            person = await office.front.person(Request(scope))
        except NotLoggedIn:
            if expected is not None:
                self.wrong.append(f"{expected} is not known any more")
            return
        if person.person_id != expected:
            self.wrong.append(f"{person.person_id} answers for {expected}")
        ended = [session for session, one in self.here.items() if one == person.person_id]
        for session in ended:
            del self.here[session]
            self.owed.add((session, "logged_out"))
        await office.front.log_out(person)
        await self._settled()

    async def _settled(self) -> None:
        await anyio.wait_all_tasks_blocked()

    async def play(self, dice: random.Random, browsers: int, persons: int) -> None:
        """Let one thing happen."""
        browser, person, node = dice.randrange(browsers), dice.randrange(persons), dice.randrange(self.nodes)
        what = dice.random()
        if what < 0.35:
            await self.open(browser, node)
        elif what < 0.5 or len(self.streams) > 3 * browsers:
            await self.close(dice.randrange(10_000))
        elif what < 0.85:
            await self.log_in(browser, person)
        elif what < 0.9:
            await self.log_in(browser, person, right=False)
        else:
            await self.log_out(browser, node)


def cookie(browser: int) -> str:
    """The cookie of a browser."""
    return f"{browser:043}"
