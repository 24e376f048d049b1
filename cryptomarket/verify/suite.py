"""The run: every check of every host, the unconfirmed statements first, a few at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from ..deribit.auth import Credentials
from ..deribit.doors import Door
from ..errors import ExchangeUnreachable
from ..statements import STATEMENTS, Statement
from ..statements.statement import COINBASE_MAIN, COINBASE_STREAMS, DERIBIT
from . import checks  # noqa: F401 (they enter themselves)
from .budget import Budget
from .clock import Clock
from .host import Host, Route
from .recording import MOST_RECORDED_BYTES, MessageRecorder
from .registry import CHECKS, StatementCheck
from .rows import Row, unseen
from .unchecked import NO_CHECK
from .watch import WATCHED, watch

__all__ = ["Plan", "Run", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is asked to do. ``kinds`` limits it to some kinds of hosts, for a single one at one address."""

    door: Door
    credentials: Credentials | None = None
    route: Route = field(default_factory=Route)
    quick: bool = False
    exceed_limits: bool = False
    kinds: tuple[str, ...] = ()
    record: Path | None = None
    most_bytes: int = MOST_RECORDED_BYTES
    #: How long to go on recording after the checks, in seconds.
    watch_seconds: float = 0.0
    #: The names of the statements to check; empty for all.
    only: frozenset[str] = frozenset()
    #: How many checks run at the same time.
    at_once: int = 4
    connections_a_minute: int = 30

    def addresses(self) -> list[tuple[str, str, str | None]]:
        """Kind, WebSocket address and HTTP address of each host."""
        door = self.door
        if door.authenticates:
            found: list[tuple[str, str, str | None]] = [(DERIBIT, door.prices_url, door.http_url)]
        else:
            found = [(COINBASE_STREAMS, door.prices_url, None), (COINBASE_MAIN, door.private_url, door.http_url)]
        return [address for address in found if not self.kinds or address[0] in self.kinds]


class Run:
    """One run at the hosts of a door. Build it with ``running``."""

    def __init__(self, plan: Plan, hosts: Sequence[Host], clock: Clock, recorder: MessageRecorder) -> None:
        self.plan = plan
        self.hosts = hosts
        self.clock = clock
        self.recorder = recorder

    async def check(self, tell: Callable[[Row], None]) -> None:
        """Tell a row for each statement of each host, as soon as it is known.

        Raises ExchangeUnreachable when no host can be reached.
        """
        reasons = {host: await self._unreachable(host) for host in self.hosts}
        reachable = [host for host, reason in reasons.items() if not reason]
        if not reachable:
            raise ExchangeUnreachable("; ".join(f"{host.ws_url}: {reason}" for host, reason in reasons.items()))
        for host in reachable:
            await host.try_key()
        await self._check(reachable, tell)
        for host in self.hosts:
            for statement, why in self._without_check(host, reachable):
                tell(Row.of(unseen(statement, why), host.kind))
        if self.plan.watch_seconds:
            for observation in await watch(reachable[0], self.plan.watch_seconds):
                tell(Row.of(observation, reachable[0].kind))

    async def _unreachable(self, host: Host) -> str:
        """Why no connection can be opened; empty when one can."""
        try:
            async with host.socket():
                return ""
        except ExchangeUnreachable as exc:
            return str(exc)

    async def _check(self, hosts: Sequence[Host], tell: Callable[[Row], None]) -> None:
        chosen = [(check, host) for check in CHECKS for host in hosts if self._chosen(check, host)]
        chosen.sort(key=lambda pair: not pair[0].unconfirmed)
        places = anyio.CapacityLimiter(self.plan.at_once)

        async def one(check: StatementCheck, host: Host) -> None:
            async with places:
                await self._outcome(check, host, tell)

        for slow in (False, True):  # apart, so that nobody's work disturbs what measures seconds
            async with anyio.create_task_group() as tasks:
                for check, host in chosen:
                    if check.slow is slow and not check.exceeds:
                        tasks.start_soon(one, check, host)
        for check, host in chosen:  # what exceeds a limit comes last and alone, so that it disturbs nothing
            if check.exceeds:
                await one(check, host)

    def _chosen(self, check: StatementCheck, host: Host) -> bool:
        names = {statement.name for statement in check.of(host.kind)}
        return bool(names & self.plan.only if self.plan.only else names)

    async def _outcome(self, check: StatementCheck, host: Host, tell: Callable[[Row], None]) -> None:
        """Tell the row of each statement of the check; when the check fails, those left are not checked."""
        left = dict.fromkeys(check.of(host.kind))
        why = self._not_now(check, host)
        if not why:
            why = "there was nothing to judge it by"
            try:
                async for observation in check.function(host):
                    if observation.statement in left:
                        del left[observation.statement]
                        tell(Row.of(observation, host.kind))
            except ExchangeUnreachable as exc:
                why = str(exc)
        for statement in left:
            tell(Row.of(unseen(statement, why), host.kind))

    def _not_now(self, check: StatementCheck, host: Host) -> str:
        if check.login and host.credentials is None:
            return host.no_login
        if check.slow and self.plan.quick:
            return "it takes long: leave --quick out"
        if check.exceeds and not self.plan.exceed_limits:
            return "it exceeds a limit of the exchange once: add --exceed-limits"
        return ""

    def _without_check(self, host: Host, reachable: Sequence[Host]) -> Iterator[tuple[Statement[Any], str]]:
        checked = {statement for check in CHECKS for statement in check.of(host.kind)} if host in reachable else set()
        for statement in STATEMENTS.values():
            watched = self.plan.watch_seconds and host is reachable[0] and statement in WATCHED
            if host.kind in statement.hosts and statement not in checked and not watched:
                why = NO_CHECK.get(statement, "a client cannot see it")
                yield statement, why if host in reachable else "the host cannot be reached"


@contextmanager
def running(plan: Plan, clock: Clock | None = None) -> Iterator[Run]:
    """A run; its recording is open within the block. Raises StartError for a file or an address that cannot be used."""
    clock = clock or Clock()
    key = plan.credentials
    secrets = () if key is None else (key.client_id, key.client_secret.reveal())
    with MessageRecorder(plan.record, clock, *secrets, most_bytes=plan.most_bytes) as recorder:
        budget = Budget(clock, plan.connections_a_minute)
        hosts = [
            Host(
                kind,
                ws_url,
                http_url,
                clock=clock,
                budget=budget,
                recorder=recorder,
                route=plan.route,
                credentials=key if kind == DERIBIT else None,
            )
            for kind, ws_url, http_url in plan.addresses()
        ]
        yield Run(plan, hosts, clock, recorder)
