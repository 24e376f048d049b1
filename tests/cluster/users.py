"""Persons who log in and out at any node while faults are injected; nothing else may log them out."""

import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import httpx2

from cryptomarket.simulator.accounts import SimulatedAccount

from .browsers import Browser, ConnectionEvent
from .environment import ClusterEnvironment

__all__ = ["User", "running_users"]

#: The bound of an accepted login, and the time that a tab may take to reconnect.
OUTCOME_SECONDS = 15 + 10
PERSONAL = ("person", "login_failed", "logged_out")
LOGIN, ME = "/api/v1/persons/login", "/api/v1/persons/me"


@dataclass
class User:
    """A person with one browser session, whose two tabs are open at different nodes."""

    environment: ClusterEnvironment
    account: SimulatedAccount
    cookie: str
    tabs: list[Browser]
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    log: list[tuple[float, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    known: bool = False
    redis_emptied: int = 0
    logs_out: bool = False

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        self.log.append((round(time.monotonic() - self.began, 2), what))

    def _violation(self, what: str) -> None:
        received = [(round(one.when - self.began, 2), one.data["kind"]) for one in self._personal()]
        self.violations.append(f"{self.account.username}: {what}; {self.log[-8:]}, received {received[-6:]}")

    async def _call(self, verb: str, path: str, node: int, body: object = None) -> httpx2.Response | None:
        """Return the response of a node, or of the next one that accepts a connection; None if there is no response."""
        addresses = self.environment.addresses()
        for offset in range(len(addresses)):
            url = f"http://{addresses[(node + offset) % len(addresses)]}{path}"
            try:
                async with httpx2.AsyncClient(timeout=20) as client:
                    answer = await client.request(verb, url, json=body, headers={"cookie": self.cookie})
                if "set-cookie" in answer.headers:
                    self.cookie = answer.headers["set-cookie"].partition(";")[0]
                    for tab in self.tabs:
                        tab.follow(self.cookie)
                return answer
            except httpx2.ConnectError:
                continue
            except httpx2.TransportError:
                return None
        return None

    def _personal(self) -> list[ConnectionEvent]:
        """Return the personal events of all tabs, in order."""
        events = [one for tab in self.tabs for one in tab.received if isinstance(one, ConnectionEvent)]
        return sorted((one for one in events if one.data["kind"] in PERSONAL), key=lambda one: one.when)

    def _outcomes(self) -> list[str]:
        """Return the outcomes of all logins; each is received on every tab."""
        outcomes = [one.data for one in self._personal() if one.data["kind"] != "logged_out"]
        return [f"{one['kind']}: {one['reason']}" if "reason" in one else one["kind"] for one in outcomes]

    async def log_in(self, node: int) -> str:
        """Post the credentials, and wait for the outcome on any tab; return it."""
        before, self.redis_emptied, started = (
            len(self._outcomes()),
            self.environment.redis_emptied,
            self.environment.nodes_started,
        )
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
        # The leader that had accepted the login died, and Redis lost its record.
        return (
            "loss"
            if self.environment.redis_emptied > self.redis_emptied and self.environment.nodes_started > started
            else "silence"
        )

    async def me(self, node: int) -> str:
        """Request who is logged in; return the status."""
        answer = await self._call("GET", ME, node)
        return "unreachable" if answer is None else str(answer.status_code)

    async def log_out(self, node: int) -> str:
        """Log out in all browsers; return the status."""
        answer = await self._call("DELETE", ME, node)
        self.known = answer is None or answer.status_code != 204
        return "unreachable" if answer is None else str(answer.status_code)

    async def run(self, dice: random.Random) -> None:
        """Log in and send requests until cancelled; note unexpected outcomes in ``violations``."""
        while True:
            node = dice.randrange(100)
            if not self.known:
                outcome = await self.log_in(node)
                if outcome.partition(":")[0] not in ("person", "login_failed", "503", "429", "unreachable", "loss"):
                    self._violation(f"a login ended with {outcome}")
            else:
                outcome = f"me {await self.me(node)}"
                if outcome == "me 401" and not self.redis_lost_login():
                    self._violation("logged out without a reason")
                if outcome == "me 401":
                    self.known = False
                elif outcome not in ("me 200", "me 503", "me 401", "me unreachable"):
                    self._violation(outcome)
                elif self.logs_out and outcome == "me 200" and dice.random() < 0.3:
                    outcome = f"log-out {await self.log_out(node)}"
            self._count(outcome)
            await anyio.sleep(dice.uniform(0.1, 1.0))

    def redis_lost_login(self) -> bool:
        """Return whether Redis lost its data after the login."""
        return self.environment.redis_emptied > self.redis_emptied

    def foreign_events(self) -> list[str]:
        """Return the events of other persons that the tabs received."""
        names = {str(data.get("username")) for tab in self.tabs for data in tab.connection_events("person")}
        others = names - {self.account.username}
        return [f"{self.account.username} received events of {', '.join(sorted(others))}"] if others else []


@contextlib.asynccontextmanager
async def running_users(
    environment: ClusterEnvironment, accounts: list[SimulatedAccount], dice: random.Random, *, log_out: bool = False
) -> AsyncIterator[list[User]]:
    """Run one user for each account; with ``log_out`` they also log out and in again."""
    users = []
    async with anyio.create_task_group() as tasks:
        for number, account in enumerate(accounts):
            async with httpx2.AsyncClient(timeout=20) as client:
                await client.get(f"http://{environment.addresses()[0]}/")
                cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            tabs = [
                Browser(
                    environment.addresses, "timer=3600", number=number + offset, cookie=cookie, reopens_at_once=True
                )
                for offset in range(2)
            ]
            user = User(environment, account, cookie, tabs, logs_out=log_out)
            for tab in tabs:
                tasks.start_soon(tab.run)
            tasks.start_soon(user.run, random.Random(dice.random()))
            users.append(user)
        yield users
        tasks.cancel_scope.cancel()
