"""Persons who use the house while it suffers: they log in anywhere, and are logged out by nobody but themselves."""

import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import httpx2

from cryptomarket.simulator.accounts import SimulatedAccount

from .browsers import Browser, Said
from .environment import House

__all__ = ["Visitor", "visiting"]

#: A log-in that was taken ends in this time, whatever happens meanwhile; the tab may be away as long again.
OUTCOME_SECONDS = 15 + 10
PERSONAL = ("person", "login_failed", "logged_out")
LOGIN, ME = "/api/v1/persons/login", "/api/v1/persons/me"


@dataclass
class Visitor:
    """A person with a browser, two tabs of which are open at different nodes."""

    house: House
    account: SimulatedAccount
    cookie: str
    tabs: list[Browser]
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    diary: list[tuple[float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    known: bool = False
    emptied: int = 0
    leaves: bool = False

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.diary.append((round(time.monotonic() - self.began, 2), what))

    def _blame(self, what: str) -> None:
        told = [(round(one.when - self.began, 2), one.data["kind"]) for one in self._personal()]
        self.faults.append(f"{self.account.username}: {what}; {self.diary[-8:]}, told {told[-6:]}")

    async def _call(self, verb: str, path: str, node: int, body: object = None) -> httpx2.Response | None:
        """The answer of a node, or of the next where the front cannot connect; None when the answer does not come."""
        addresses = self.house.addresses()
        for offset in range(len(addresses)):
            url = f"http://{addresses[(node + offset) % len(addresses)]}{path}"
            try:
                async with httpx2.AsyncClient(timeout=20) as client:
                    return await client.request(verb, url, json=body, headers={"cookie": self.cookie})
            except httpx2.ConnectError:
                continue
            except httpx2.TransportError:
                return None
        return None

    def _personal(self) -> list[Said]:
        """What the tabs were told of me, in order."""
        said = [one for tab in self.tabs for one in tab.heard if isinstance(one, Said)]
        return sorted((one for one in said if one.data["kind"] in PERSONAL), key=lambda one: one.when)

    def _outcomes(self) -> list[str]:
        """How my log-ins ended, each told on every tab."""
        outcomes = [one.data for one in self._personal() if one.data["kind"] != "logged_out"]
        return [f"{one['kind']}: {one['reason']}" if "reason" in one else one["kind"] for one in outcomes]

    async def log_in(self, node: int) -> str:
        """Post the key, and wait for the outcome on any tab."""
        before, self.emptied, started = len(self._outcomes()), self.house.emptied, self.house.started
        body = {"client_id": self.account.client_id, "client_secret": self.account.client_secret}
        answer = await self._call("POST", LOGIN, node, body)
        if answer is None:
            return "unreachable"
        if answer.status_code != 202:
            return str(answer.status_code)
        with anyio.move_on_after(OUTCOME_SECONDS):
            while len(self._outcomes()) == before:
                await anyio.sleep(0.02)
            kind = self._outcomes()[before]
            self.known = self.known or kind == "person"
            return kind
        # Whoever had taken it died, and so did what it had noted.
        return "loss" if self.house.emptied > self.emptied and self.house.started > started else "silence"

    async def look(self, node: int) -> str:
        """Ask who I am."""
        answer = await self._call("GET", ME, node)
        return "unreachable" if answer is None else str(answer.status_code)

    async def leave(self, node: int) -> str:
        """Log out everywhere."""
        answer = await self._call("DELETE", ME, node)
        self.known = answer is None or answer.status_code != 204
        return "unreachable" if answer is None else str(answer.status_code)

    async def live(self, dice: random.Random) -> None:
        """Log in, look around, until cancelled; what must not happen is written down."""
        while True:
            node = dice.randrange(100)
            if not self.known:
                outcome = await self.log_in(node)
                if outcome.partition(":")[0] not in ("person", "login_failed", "503", "429", "unreachable", "loss"):
                    self._blame(f"a log-in ended with {outcome}")
            else:
                outcome = f"me {await self.look(node)}"
                if outcome == "me 401" and not self.forgotten():
                    self._blame("logged out for nothing")
                if outcome == "me 401":
                    self.known = False
                elif outcome not in ("me 200", "me 503", "me 401", "me unreachable"):
                    self._blame(outcome)
                elif self.leaves and outcome == "me 200" and dice.random() < 0.3:
                    outcome = f"left {await self.leave(node)}"
            self._count(outcome)
            await anyio.sleep(dice.uniform(0.1, 1.0))

    def forgotten(self) -> bool:
        """Whether Redis lost what it held since I logged in."""
        return self.house.emptied > self.emptied

    def misled(self) -> list[str]:
        """Events of other persons on my tabs."""
        names = {str(data.get("username")) for tab in self.tabs for data in tab.said("person")}
        strangers = names - {self.account.username}
        return [f"{self.account.username} was told of {', '.join(sorted(strangers))}"] if strangers else []


@contextlib.asynccontextmanager
async def visiting(
    house: House, accounts: list[SimulatedAccount], dice: random.Random, *, leave: bool = False
) -> AsyncIterator[list[Visitor]]:
    """The persons of the accounts, each with tabs that are open and a life of its own; some ``leave`` and return."""
    visitors = []
    async with anyio.create_task_group() as tasks:
        for number, account in enumerate(accounts):
            async with httpx2.AsyncClient(timeout=20) as client:
                await client.get(f"http://{house.addresses()[0]}/")
                cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            tabs = [
                Browser(house.addresses, "timer=3600", number=number + offset, cookie=cookie, hasty=True)
                for offset in range(2)
            ]
            visitor = Visitor(house, account, cookie, tabs, leaves=leave)
            for tab in tabs:
                tasks.start_soon(tab.run)
            tasks.start_soon(visitor.live, random.Random(dice.random()))
            visitors.append(visitor)
        yield visitors
        tasks.cancel_scope.cancel()
