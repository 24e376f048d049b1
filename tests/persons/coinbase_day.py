"""A day of logins at Coinbase: 1,000 persons whose bearers live for 15 minutes, on a clock that jumps to what is next.

Leaders stop, lose the lead and start again, Coinbase's two hosts are away in turn, access tokens end early. Nobody may
be logged out but those who revoke, the requests stay within the budget, and no token may be seen in what is written.
Run it with ``make login-day ARGS="--door coinbase"``.
"""

import io
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup
from cryptography.fernet import Fernet

from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.vault import Vault
from cryptomarket.simulator.accounts import SimulatedAccount

from .canary import Canary
from .simulated_coinbase import Coinbase, CoinbaseLeader, VirtualClock, settled

__all__ = ["CoinbaseFindings", "run_coinbase_day"]

HOUR = 3600.0
#: The clock jumps at least this far, so that one look at who is due serves several.
LEAST_STEP = 0.25
#: Tokens of so many are searched for: those of all would not fit into memory.
SEARCHED = 400
#: Of each look, how many persons read their balances.
READ = 20
MOST_PER_SECOND = 15


@dataclass
class CoinbaseFindings:
    """What was counted; ``wrong`` are sentences."""

    persons: int = 0
    hours: float = 0.0
    renewals: int = 0
    refreshes: int = 0
    restarts: int = 0
    revoked: int = 0
    lost: int = 0
    reads: int = 0
    requests_per_second: float = 0.0
    most_requests_in_a_second: int = 0
    searched: int = 0
    secrets_found: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nobody was lost, nothing was found and the budget was kept."""
        return not (self.wrong or self.lost or self.secrets_found) and self.most_requests_in_a_second <= MOST_PER_SECOND


class CoinbaseDay:
    """The parts of one run."""

    def __init__(self, count: int, tasks: TaskGroup) -> None:
        self.tasks = tasks
        self.clock = VirtualClock()
        accounts = [SimulatedAccount(f"person-{n}", "", f"p{n}@example.com", f"p{n}", n + 1) for n in range(count)]
        self.accounts = accounts
        self.coinbase = Coinbase(accounts, self.clock, self.clock.sleep)
        self.cache = MemoryCache(monotonic=self.clock)
        key = Fernet.generate_key().decode()
        self.vault = Vault(lambda: (key,), wall=self.clock)
        self.findings = CoinbaseFindings(persons=count)
        self.random = random.Random(1)
        self.log = io.StringIO()
        self.revoked: set[int] = set()
        self._began = self.clock.now
        self.seen: list[str] = []

    # Leaders

    async def start(self) -> None:
        """Start a leader."""
        self.leader = CoinbaseLeader(self.coinbase, self.cache, self.vault, self.clock)
        self._scope, self._ended = anyio.CancelScope(), anyio.Event()
        self.tasks.start_soon(self._lead, self.leader, self._scope, self._ended)
        await self._pass(LEAST_STEP)

    async def _lead(self, leader: CoinbaseLeader, scope: anyio.CancelScope, ended: anyio.Event) -> None:
        with scope:
            await leader.renewal.run()
        ended.set()

    async def stop(self, *, graceful: bool) -> None:
        """End the leader: what is under way is finished, or cancelled as when the lead is lost."""
        if graceful:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.leader.renewal.finish)
                await self._pass(2.0)
        self._scope.cancel()
        while not self._ended.is_set():
            await self._pass(LEAST_STEP)
        self._note()
        self.findings.restarts += 1

    def _note(self) -> None:
        self.findings.renewals += self.leader.renewal.refreshed
        self.seen += [repr(message) for message in self.leader.published]

    async def restart(self, *, graceful: bool, away_minutes: float = 0.0) -> None:
        """Put another leader in the place of this one, after some time without any."""
        await self.stop(graceful=graceful)
        await self._pass(60 * away_minutes)
        await self.start()

    # The clock

    async def _pass(self, seconds: float) -> None:
        end = self.clock.now + seconds
        await settled()
        while self.clock.now < end:
            renewal = self.leader.renewal
            due = min((*renewal._due.values(), *(moment for moment, _ in renewal._late.values())), default=end)
            self.clock.advance_to(min(end, max(min(due, self.clock.next), self.clock.now + LEAST_STEP)))
            renewal._wake_up.set()
            await settled()

    async def log_in_all(self) -> None:
        """Log everybody in, at a little less than the pace that the budget allows."""
        async with anyio.create_task_group() as tasks:
            for number, account in enumerate(self.accounts):
                tasks.start_soon(self.leader.log_in, account, f"session-{number}")
                await self._pass(0.3)
            await self._pass(30)

    async def run(self, hours: float) -> None:
        """Let the hours pass with all that happens in them, and look at everybody every half an hour."""
        events = self._plan(hours)
        started = self.clock.now
        self.findings.hours = hours
        while self.clock.now < started + hours * HOUR:
            while events and self.clock.now >= started + events[0][0] * HOUR:
                await events.pop(0)[1]()
            await self._pass(HOUR / 2)
            await self._look()
        await self._read(range(len(self.accounts)))

    def _plan(self, hours: float) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        shares: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.10, lambda: self.restart(graceful=True)),
            (0.20, lambda: self._away(self.coinbase.calls, 10)),
            (0.30, lambda: self.restart(graceful=False)),
            (0.40, lambda: self._away(self.coinbase.logins, 90)),
            (0.50, self._expire),
            (0.60, self._revoke),
            (0.70, lambda: self.restart(graceful=True, away_minutes=20)),
            (0.80, lambda: self.restart(graceful=False)),
        ]
        return [(share * hours, event) for share, event in shares]

    async def _away(self, transport: Any, minutes: float) -> None:
        transport.away = True
        await self._pass(60 * minutes)
        transport.away = False

    async def _expire(self) -> None:
        self.coinbase.exchange.inject("oauth_expire", "0")

    async def _revoke(self) -> None:
        number = len(self.accounts) - 1
        self.revoked.add(number)
        self.coinbase.exchange.inject("oauth_revoke", self.accounts[number].client_id)
        self.findings.revoked += 1

    # Looks

    async def _look(self) -> None:
        for number in range(len(self.accounts)):
            (person,) = await self.leader.sessions.persons_of([f"session-{number}"])
            if person is None and number not in self.revoked:
                self.findings.lost += 1
        sample = self.random.sample(range(len(self.accounts)), min(READ, len(self.accounts)))
        await self._read(sample)

    async def _read(self, numbers: Any) -> None:
        async def read(number: int) -> None:
            reply = await self.leader.balances(f"coinbase-{number + 1}", f"session-{number}")
            self.findings.reads += 1
            if not reply.accounts and number not in self.revoked:
                self.findings.wrong.append(f"hour {self._hour():.1f}: person {number} reads {reply}")

        async with anyio.create_task_group() as tasks:
            for number in numbers:
                tasks.start_soon(read, number)
            await self._pass(5 + len(list(numbers)) / 10)

    def _hour(self) -> float:
        return (self.clock.now - self._began) / HOUR

    def count(self) -> None:
        """Count requests and search for secrets, at the end."""
        self._note()
        findings = self.findings
        sent = self.coinbase.calls.sent
        findings.refreshes = len([one for one in self.coinbase.issued._refresh.values() if one.spent])
        findings.requests_per_second = round(len(sent) / (sent[-1] - sent[0]), 2)
        findings.most_requests_in_a_second = max(_most(sent), _most(self.coinbase.logins.sent))
        canary = Canary({f"{n}": text.encode() for n, text in enumerate(self._tokens())})
        findings.searched = len(canary._windows) and SEARCHED
        places = {"log": self.log.getvalue(), "published": "\n".join(self.seen)}
        found = [find for place, text in places.items() for find in canary.scan(text.encode(), place)]
        for name, (value, _) in self.cache._values.items():
            found += canary.scan(name.encode() + b"\n" + value, name)
        findings.secrets_found = len(found)
        findings.wrong += [f"{find.place}: {find.form}" for find in found[:10]]

    def _tokens(self) -> list[str]:
        issued = self.coinbase.issued
        bearers = list(self.coinbase.exchange.state.accounts._by_access)
        kinds = [list(issued._codes), list(issued._access), list(issued._refresh), bearers]
        return [text for kind in kinds for text in self.random.sample(kind, min(SEARCHED // 4, len(kind)))]


def _most(moments: list[float]) -> int:
    """The most moments within one second."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


async def run_coinbase_day(count: int, hours: float = 24.0) -> CoinbaseFindings:
    """Return what was counted in the hours of ``count`` persons."""
    before = structlog.get_config()
    try:
        async with anyio.create_task_group() as tasks:
            day = CoinbaseDay(count, tasks)
            structlog.configure(logger_factory=structlog.PrintLoggerFactory(day.log))
            await day.start()
            await day.log_in_all()
            await day.run(hours)
            await day.stop(graceful=True)
            day.count()
    finally:
        structlog.configure(**before)
    return day.findings
