"""Twenty-seven hours of logins on a clock that runs fast: real gateways, the simulator and Redis over real sockets.

At every step who is logged in, the balances, and the page must agree. Restarts, evictions, and keys that are revoked or
narrowed happen on the way. Run it with ``make login-day``; with ``--door coinbase`` it is the day of `coinbase_day`.
"""

import argparse
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskGroup

from cryptomarket.app import backend, gateway
from cryptomarket.app.gateway import Gateway
from cryptomarket.app.persons import Persons
from cryptomarket.deribit.auth import READ_ONLY_SCOPE, write_rights
from cryptomarket.deribit.rate_limit import RateLimiter
from cryptomarket.persons.person import LIFE_SECONDS
from cryptomarket.persons.vault import Vault
from cryptomarket.settings import read_settings
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.credits import BUDGETS
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.switches import Switches
from cryptomarket.statements.limits import CreditLimit
from tests.redis_server import RedisServer, running_redis

from .clocked_cache import Clock, ClockedCache
from .coinbase_day import CoinbaseFindings, run_coinbase_day
from .node import Node
from .page import Page

__all__ = ["Day", "Findings", "run_day"]

HOUR = 3600.0
#: How long real parts may take until a step's answers agree, in real seconds.
AGREE_SECONDS = 6.0
#: How many times a step the tokens live, so that none ends within one.
LIFE_STEPS = 15


@dataclass
class Findings:
    """What was counted; ``wrong`` are sentences about disagreements."""

    steps: int = 0
    checks: int = 0
    renewals: int = 0
    without_scope: int = 0
    wide: int = 0
    lost: int = 0
    ended: int = 0
    restarts: int = 0
    shown_problems: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, wide or in disagreement."""
        return not (self.wrong or self.lost or self.wide or self.without_scope)


class Day:
    """The parts of one run; ``step_seconds`` of the clock pass between two looks at everything."""

    def __init__(
        self,
        folder: Path,
        exchange: Exchange,
        redis: RedisServer,
        clock: Clock,
        tasks: TaskGroup,
        step_seconds: float,
    ) -> None:
        self.folder, self.exchange, self.redis, self.clock, self.tasks = folder, exchange, redis, clock, tasks
        self.step_seconds = step_seconds
        self.nodes: list[Node] = []
        self.pages: list[Page] = []
        self.absent: list[str] = []
        self.findings = Findings()
        self._started_nodes = 0

    # Nodes

    async def start_node(self) -> None:
        """Start a gateway beside the others."""
        self._started_nodes += 1
        settings = read_settings(
            database_url=f"sqlite+aiosqlite:///{self.folder / 'day.db'}",
            deribit_ws_url=self.exchange.ws_url,
            deribit_http_url=self.exchange.http_url,
            redis_url=self.redis.url,
            node=f"n{self._started_nodes}",
            logins_per_minute=10_000,
            rest_units_per_second=100_000,
            drain_seconds=0,
            recorder=False,
            tickers=("btc_usd",),
        )
        node = Node(Gateway(settings))
        self.tasks.start_soon(node.run)
        with anyio.fail_after(60):
            await node.started.wait()
        self.nodes.append(node)

    def leader(self) -> Node | None:
        """The node that leads, if one does."""
        return next((node for node in self.nodes if node.renewal() is not None), None)

    async def restart(self, *, graceful: bool) -> None:
        """Stop the leader, and start another node in its place."""
        node = await self._led()
        self.nodes.remove(node)
        node.graceful = graceful
        node.stopping.set()
        with anyio.fail_after(60):
            await node.stopped.wait()
        await self.start_node()
        await self._led()
        self.findings.restarts += 1

    async def _led(self) -> Node:
        with anyio.fail_after(60):
            while (node := self.leader()) is None:
                await anyio.sleep(0.02)
        return node

    async def restart_redis(self) -> None:
        """Kill Redis, let time pass, and start it with the data it had."""
        await self.redis.kill()
        self.clock.advance(60)
        await self.redis.start()
        for node in self.nodes:
            with anyio.fail_after(60):
                while not await node.cache_answers():
                    await anyio.sleep(0.02)
        self.findings.restarts += 1

    # Pages

    async def log_in(self, page: Page) -> None:
        """Log the page's person in, and wait for the outcome."""
        await page.connect(self.nodes[len(self.pages) % len(self.nodes)].url, self.tasks)
        await page.log_in()

    async def add(self, account: SimulatedAccount) -> Page:
        """Open a page and log in."""
        page = Page(account)
        await self.log_in(page)
        self.pages.append(page)
        return page

    async def crowd_out(self, page: Page) -> None:
        """Log the page's person in from 32 more browsers, one of which stays open."""
        page.may_end = True
        others = [Page(page.account) for _ in range(32)]
        for other in others:
            await self.log_in(other)
        for other in others[1:]:
            other.close()
        self.pages.append(others[0])

    async def fill_sessions(self, page: Page) -> None:
        """Log in with the page's key elsewhere, in all 16 sessions that the exchange allows."""
        page.may_end = True
        key = {"client_id": page.account.client_id, "client_secret": page.account.client_secret}
        for number in range(16):
            scope = f"session:other-{number} {READ_ONLY_SCOPE}"
            params = {"grant_type": "client_credentials", **key, "scope": scope}
            self.exchange.state.accounts.authenticate(params, object())

    # The clock

    async def run(self, plan: list[tuple[float, Callable[[], Awaitable[None]]]]) -> None:
        """Let 27 hours pass in steps, look at everything after each, and do what is planned, by hour."""
        due = sorted(plan, key=lambda item: item[0])
        while self.clock() < self.clock.started + LIFE_SECONDS + 2 * self.step_seconds:
            await self._step()
            while due and self.clock() >= self.clock.started + due[0][0] * HOUR:
                await due.pop(0)[1]()
                await self._settled()
                await self._look()

    async def pass_until(self, condition: Callable[[], bool]) -> None:
        """Let time pass in steps until something is true, for at most the life of the tokens."""
        for _ in range(LIFE_STEPS):
            if condition():
                return
            await self._step()

    async def _step(self) -> None:
        self.clock.advance(self.step_seconds)
        await self._settled()
        await self._look()

    async def _settled(self) -> None:
        """Wait until no tokens are due."""
        with anyio.fail_after(60):
            while True:
                node = await self._led()
                renewal = node.renewal()
                if renewal is not None:
                    renewal._wake_up.set()
                    if not renewal._under_way and all(due > self.clock() for due in renewal._due.values()):
                        return
                await anyio.sleep(0.002)

    async def _look(self) -> None:
        self.findings.steps += 1
        async with anyio.create_task_group() as looks:
            for page in self.pages:
                looks.start_soon(self._look_at_page, page)
        self.pages = [page for page in self.pages if page.person is not None]
        for person_id in self.absent:
            await self._look_at_absent(person_id)
        self._look_at_exchange()

    async def _look_at_page(self, page: Page) -> None:
        findings, place = self.findings, f"hour {self._hour():.2f}, {page.account.client_id}"
        findings.checks += 1
        if (wrong := await self._disagreement(page)) is not None:
            findings.wrong.append(f"{place}: {wrong}")
        if page.person is None:
            findings.ended += 1
            if not page.may_end:
                findings.lost += 1
                findings.wrong.append(f"{place} was lost: {page.reason}")
        elif "problem" in page.person:
            findings.shown_problems += 1

    async def _look_at_absent(self, person_id: str) -> None:
        person = await self.nodes[0].gateway.persons.sessions.person(person_id)
        if abs(self.clock() - self.clock.started - LIFE_SECONDS) < 30:
            return  # the log-in took some seconds
        if (person is not None) != (self.clock() < self.clock.started + LIFE_SECONDS):
            self.findings.wrong.append(f"hour {self._hour():.2f}: the absent {person_id} is {person}")

    async def _disagreement(self, page: Page) -> str | None:
        """Return how the two routes and the page disagree after some real seconds, None if they agree."""
        if page.closed or page.url not in [node.url for node in self.nodes]:
            await page.connect(self.nodes[hash(page.cookie) % len(self.nodes)].url, self.tasks)
        until = time.monotonic() + AGREE_SECONDS
        while (wrong := await page.disagreement()) is not None and time.monotonic() < until:
            await anyio.sleep(0.02)
        return wrong

    def _look_at_exchange(self) -> None:
        findings = self.findings
        for session in self.exchange.opened_sessions:
            for request in session.requests:
                if request.method == "public/auth" and "refresh_token" in request.params:
                    findings.renewals += 1
                    findings.without_scope += READ_ONLY_SCOPE not in str(request.params.get("scope"))
            session.requests.clear()
        for grant in self.exchange.state.accounts._by_access.values():
            findings.wide += bool(write_rights(" ".join(grant.scope)))

    def _hour(self) -> float:
        return (self.clock() - self.clock.started) / HOUR


def plan(day: Day) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
    """What happens at which hour. The persons are those of the first pages."""
    evicted, crowded, revoked, narrowed, reading = day.pages[:5]

    async def log_in_again() -> None:
        crowded.may_end = False
        await day.log_in(crowded)
        day.pages.append(crowded)

    async def revoke() -> None:
        revoked.may_end = True
        day.exchange.inject("revoke_key", revoked.account.client_id)

    async def narrow() -> None:
        narrowed.may_end = True
        day.exchange.inject("narrow_key", f"{narrowed.account.client_id} trade:read")
        day.exchange.inject("narrow_key", f"{reading.account.client_id} account:read")

    async def refuse_renewals() -> None:
        day.exchange.inject("refuse_login", "11042")
        await day.pass_until(lambda: day.findings.shown_problems > 0)
        day.exchange.inject("refuse_login", "off")

    async def widen() -> None:
        day.exchange.inject("widen")

    return [
        (2, partial(day.restart, graceful=True)),
        (4, partial(day.crowd_out, evicted)),
        (6, day.restart_redis),
        (8, partial(day.fill_sessions, crowded)),
        (9, log_in_again),
        (11, partial(day.restart, graceful=False)),
        (12, revoke),
        (14, narrow),
        (16, refuse_renewals),
        (19, widen),
        (21, day.restart_redis),
        (24, partial(day.restart, graceful=True)),
    ]


@asynccontextmanager
async def running_day(folder: Path, count: int, step_seconds: float, patched: pytest.MonkeyPatch) -> AsyncIterator[Day]:
    """Two gateways, the exchange and Redis; ``count`` persons have a page, one more is logged in and leaves."""
    clock = Clock()
    patched.setattr(backend, "RedisCache", partial(ClockedCache, clock))
    patched.setattr(gateway, "Persons", partial(Persons, wall=clock, monotonic=clock))
    patched.setattr(gateway, "Vault", partial(Vault, wall=clock))
    patched.setattr(gateway, "RateLimiter", partial(RateLimiter, time_scale=1000.0))
    accounts = [SimulatedAccount(f"key-{number}", f"secret-{number}", number=number + 1) for number in range(count + 1)]
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(running_redis(folder, "--appendonly", "yes", "--appendfsync", "always"))
        exchange = await stack.enter_async_context(
            running_exchange(
                accounts=accounts,
                wall=clock,
                budgets={name: CreditLimit(0, 1, 1) for name in BUDGETS},
                switches=Switches(session_expires_in=int(LIFE_STEPS * step_seconds), refresh_keeps_scope=False),
            )
        )
        tasks = await stack.enter_async_context(anyio.create_task_group())
        day = Day(folder, exchange, redis, clock, tasks, step_seconds)
        for _ in range(2):
            await day.start_node()
        await day._led()
        leaver = await day.add(accounts[count])
        leaver.close()
        day.absent, day.pages = [leaver.person["person_id"] if leaver.person else ""], []
        for account in accounts[:count]:
            await day.add(account)
        yield day
        for page in day.pages:
            page.close()
        for node in day.nodes:
            node.stopping.set()
            await node.stopped.wait()
        tasks.cancel_scope.cancel()


async def run_day(folder: Path, count: int, step_seconds: float) -> Findings:
    """Return what was counted in 27 hours of ``count`` persons."""
    with pytest.MonkeyPatch.context() as patched:
        async with running_day(folder, count, step_seconds, patched) as day:
            await day.run(plan(day))
        return day.findings


def main() -> None:
    """Run the day, print what was counted, and fail if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", choices=("deribit", "coinbase"), default="deribit")
    parser.add_argument("--persons", type=int, help="50, at Coinbase 1,000")
    parser.add_argument("--step", type=float, default=60.0, help="seconds of the clock between two looks")
    arguments = parser.parse_args()
    started = time.monotonic()
    findings: Findings | CoinbaseFindings
    if arguments.door == "coinbase":
        findings = anyio.run(run_coinbase_day, arguments.persons or 1_000)
    else:
        with tempfile.TemporaryDirectory() as folder:
            findings = anyio.run(run_day, Path(folder), arguments.persons or 50, arguments.step)
    print(json.dumps({**vars(findings), "seconds": round(time.monotonic() - started)}, indent=1))
    raise SystemExit(0 if findings.clean else 1)


if __name__ == "__main__":
    main()
