"""Make Redis, the database and the exchange unreachable in every order, and check what each node does meanwhile."""

import itertools
import random
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import httpx2

from cryptomarket.simulator.accounts import SimulatedAccount

from .browsers import Browser
from .environment import ClusterEnvironment
from .faults import DEATHS
from .nodes import Node
from .storm import healed

__all__ = ["Walk", "circuit", "every_order"]

#: A node must report an unreachable server within this time; the machine of a test may be slow.
NOTICED_SECONDS = 30.0
VICTIMS = tuple(DEATHS)


def circuit() -> list[str]:
    """Return the shortest walk over every change from one set of dead servers to another: an Euler walk on a cube."""
    edges = {
        (dead, victim)
        for count in range(len(VICTIMS) + 1)
        for dead in map(frozenset, itertools.combinations(VICTIMS, count))
        for victim in VICTIMS
    }
    walk: list[str] = []
    here: frozenset[str] = frozenset()
    steps: list[tuple[frozenset[str], str | None]] = [(here, None)]
    while steps:
        here, _ = steps[-1]
        onward = next((victim for victim in VICTIMS if (here, victim) in edges), None)
        if onward is None:
            walk.append(steps.pop()[1] or "")
        else:
            edges.discard((here, onward))
            steps.append((here ^ {onward}, onward))
    return [victim for victim in reversed(walk) if victim]


def every_order() -> Iterator[list[str]]:
    """All three die and return, in every combination of the two orders."""
    for dying in itertools.permutations(VICTIMS):
        for returning in itertools.permutations(VICTIMS):
            yield [*dying, *returning]


async def _each(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """Await all at once; return their results in order."""
    found: dict[int, Any] = {}

    async def one(number: int, call: Awaitable[Any]) -> None:
        found[number] = await call

    async with anyio.create_task_group() as tasks:
        for number, call in enumerate(calls):
            tasks.start_soon(one, number, call)
    return [found[number] for number in sorted(found)]


@dataclass
class Walk:
    """A walk through the sets of dead servers with one person logged in."""

    environment: ClusterEnvironment
    account: SimulatedAccount
    dice: random.Random
    violations: list[str] = field(default_factory=list)
    healed_seconds: list[float] = field(default_factory=list)
    cookie: str = ""

    async def begin(self) -> None:
        """Log the person in."""
        url = self.environment.cluster.nodes[0].url
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            await client.get("/")
            self.cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
            await self._post(self.environment.cluster.nodes[0])
            with anyio.fail_after(30):
                while await self._ask(self.environment.cluster.nodes[0], "/api/v1/persons/me") != 200:
                    await anyio.sleep(0.05)

    async def go(self, walk: Sequence[str]) -> None:
        """Kill or restore one server after another, and check every node after each step."""
        dead: dict[str, AsyncExitStack] = {}
        for victim in walk:
            if victim in dead:
                await dead.pop(victim).aclose()
            else:
                dead[victim] = AsyncExitStack()
                await dead[victim].enter_async_context(self.dice.choice(DEATHS[victim])(self.environment))
            if dead:
                await self._check(frozenset(dead))
            else:
                self.healed_seconds.append(await healed(self.environment))
                await self._check_all_alive()

    async def _check(self, dead: frozenset[str]) -> None:
        """Wait until every node behaves as documented for these dead servers; note what does not in ``violations``."""
        wrong = ["nothing was checked"]
        with anyio.move_on_after(NOTICED_SECONDS):
            while wrong := await self._wrong(dead):
                await anyio.sleep(0.1)
        self.violations += [f"with {', '.join(sorted(dead))} dead: {one}" for one in wrong]

    async def _wrong(self, dead: frozenset[str]) -> list[str]:
        """Return what differs from the table in docs/operate.md."""
        nodes = self.environment.cluster.nodes
        leaders = [
            node for node, leads in zip(nodes, await _each(node.leads() for node in nodes), strict=True) if leads
        ]
        found = [] if len(leaders) == 1 else [f"{len(leaders)} nodes lead"]
        of_nodes = await _each(self._wrong_at(node, node in leaders, dead) for node in nodes)
        return found + list(itertools.chain(*of_nodes))

    async def _wrong_at(self, node: Node, leads: bool, dead: frozenset[str]) -> list[str]:
        status, ready, prices, me, login = await _each(
            (
                node.status(),
                node.ready(),
                self._ask(node, "/api/v1/prices?ticker=btc_usd&limit=1"),
                self._ask(node, "/api/v1/persons/me"),
                self._log_in(node, dead),
            )
        )
        fresh = "exchange" not in dead and (leads or "redis" not in dead)
        right = (status["upstream"]["state"] == "live") is fresh
        found = [] if right else [f"{node.name} reports {status['upstream']}"]
        found += [
            f"{node.name} reports {name}: {check}"
            for name, check in ready.get("checks", {}).items()
            if name in ("database", "redis") and check["ok"] is (name in dead)
        ]
        wanted = (503 if "database" in dead else 200, 503 if "redis" in dead else 200, 503)
        if (prices, me, login) != wanted:
            found.append(f"{node.name} answers {(prices, me, login)}, not {wanted}, for prices, me and a login")
        return found

    async def _log_in(self, node: Node, dead: frozenset[str]) -> int:
        """Post a login if Redis is dead, because it is then refused at once; return its status."""
        return await self._post(node) if "redis" in dead else 503

    async def _check_all_alive(self) -> None:
        """Check that every node knows the person and sends ticks on a new stream."""
        for node in self.environment.cluster.nodes:
            if (status := await self._ask(node, "/api/v1/persons/me")) != 200:
                self.violations.append(f"{node.name} answers {status} to a person who did not log out")
            address = node.url.removeprefix("http://")
            browser = Browser(partial(list, [address]), "timer=0&channels=btc_usd")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(browser.run)
                with anyio.move_on_after(NOTICED_SECONDS):
                    while len(browser.ticks()) < 3:
                        await anyio.sleep(0.02)
                tasks.cancel_scope.cancel()
            if len(browser.ticks()) < 3:
                self.violations.append(f"{node.name} sends nothing")

    async def _ask(self, node: Node, path: str) -> int:
        async with httpx2.AsyncClient(timeout=30) as client:
            return (await client.get(f"{node.url}{path}", headers={"cookie": self.cookie})).status_code

    async def _post(self, node: Node) -> int:
        body = {"client_id": self.account.client_id, "client_secret": self.account.client_secret}
        async with httpx2.AsyncClient(timeout=30) as client:
            url = f"{node.url}/api/v1/persons/login"
            answer = await client.post(url, json=body, headers={"cookie": self.cookie})
        self.cookie = answer.headers.get("set-cookie", self.cookie).partition(";")[0]
        return answer.status_code
