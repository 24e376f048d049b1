"""The simulated exchange: a server, its market, and the faults that tests inject.

    async with running_exchange(seed=7) as exchange:
        print(exchange.ws_url, exchange.http_url)

It opens no connection and needs no network.
"""

import asyncio
import random as random_module
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog

from ..statements.limits import CONNECTIONS_PER_ADDRESS, CreditLimit
from . import (  # noqa: F401 (they register their methods and faults)
    control,
    history_methods,
    login_faults,
    market_methods,
    private_methods,
    public_methods,
    session_methods,
    subscriptions,
    trading_methods,
)
from .account_channels import publish_order
from .accounts import CDP_ACCOUNT, DEFAULT_ACCOUNT, Accounts, SimulatedAccount
from .broadcast import Broadcaster
from .channels import Channels
from .connection import ServerConnection
from .credits import BUDGETS
from .day import Day
from .doors import DERIBIT, DOORS, SimulatedDoor
from .faults import ScheduledFault, inject
from .http import HttpCaller, HttpResponse, respond
from .lifecycle import Lifecycle
from .listings import FEW, MANY
from .market import Market
from .oauth_server import PREFIX as OAUTH_PREFIX
from .oauth_server import OAuthServer, RegisteredClient
from .replay import RecordedNotification, read_recordings
from .shared_state import SharedState
from .switches import Switches
from .websocket_session import WebSocketSession

log = structlog.get_logger(__name__)

__all__ = ["Exchange", "SimulatedAccount", "Switches", "running_exchange"]

STEP_MS = 20
#: After a longer delay the market does not catch up; it continues at the present.
LATEST_MS = 2000
STEPS_AT_ONCE = 5
#: Between the first subscription to a recorded channel and the first frame: a client may subscribe in several calls.
SETTLE_SECONDS = 0.25


class Exchange:
    """One simulated exchange. Build it with ``running_exchange``."""

    def __init__(
        self,
        *,
        door: SimulatedDoor = DERIBIT,
        seed: int = 1,
        accounts: Sequence[SimulatedAccount] = (),
        oauth_client: RegisteredClient | None = None,
        recorded: Sequence[RecordedNotification] = (),
        speed: float = 1.0,
        time_scale: float = 1.0,
        day: bool = False,
        testnet: bool | None = None,
        switches: Switches | None = None,
        budgets: dict[str, CreditLimit] | None = None,
        most_connections: int = CONNECTIONS_PER_ADDRESS.value,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        scheduled_faults: Sequence[ScheduledFault] = (),
    ) -> None:
        random = random_module.Random(seed)
        switches = switches or Switches()
        channels = frozenset(line.channel for line in recorded)
        market = Market(
            seed,
            time_scale=time_scale,
            extra=frozenset(part for name in channels for part in name.split(".")[1:2]),
            lists=door.lists,
            listings=MANY if day else FEW,
        )
        self.accounts = tuple(accounts) or (CDP_ACCOUNT if door.socket_is_person else DEFAULT_ACCOUNT,)
        self.state = SharedState(
            market,
            Accounts(self.accounts, wall=lambda: self.state.now(), switches=switches, random=random, door=door),
            Channels(market, switches),
            switches,
            wall,
            monotonic,
            random,
            door.testnet if testnet is None else testnet,
            door,
            budgets or BUDGETS,
        )
        self.oauth_client = oauth_client or RegisteredClient()
        self._oauth = OAuthServer(self.state, self.oauth_client)
        self.broadcaster = Broadcaster(self.state.now_ms(), recorded=channels)
        self.broadcaster.subscribed = self._subscribed
        self.state.orders.changed = partial(publish_order, self.state, self.broadcaster)
        self.links: set[ServerConnection] = set()
        #: The newest sessions, closed ones included, and the most that were open at once; read by tests.
        self.opened_sessions: deque[WebSocketSession] = deque(maxlen=10_000)
        self.most_at_once = 0
        self.connections = 0
        self.replayed = anyio.Event()
        self.port = 0
        self.host = ""
        self._recorded = recorded
        self._speed = speed
        self._wanted = anyio.Event()
        self._step_ms = max(1, min(STEP_MS, market.cadence_ms // 2))
        self._stepped_ms = self.state.now_ms()
        self._most_connections = most_connections
        self._server: asyncio.Server | None = None
        self._scheduled_faults = [(monotonic() + inject.at_seconds, inject) for inject in scheduled_faults]
        started_ms = self.state.now_ms()
        self._lifecycle = Lifecycle(market, self.broadcaster, started_ms, states_of_2026=switches.states_of_2026)
        self._day = Day(started_ms) if day else None

    @property
    def ws_url(self) -> str:
        """The WebSocket address."""
        return f"ws://{self.host}:{self.port}/ws/api/v2"

    @property
    def http_url(self) -> str:
        """The HTTP address; append ``/public/get_time``."""
        return f"http://{self.host}:{self.port}/api/v2"

    @property
    def oauth_url(self) -> str:
        """The address of the OAuth2 server, which some doors have; append ``/auth`` or ``/token``."""
        return f"http://{self.host}:{self.port}/oauth2"

    @property
    def sessions(self) -> list[WebSocketSession]:
        """The open WebSocket sessions."""
        return [link.session for link in self.links if link.session is not None]

    async def listen(self, host: str, port: int) -> None:
        """Open the port; raises OSError when it is taken."""
        self._server = await asyncio.get_running_loop().create_server(lambda: ServerConnection(self), host, port)
        self.host, self.port = host, self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for link in list(self.links):
                link.transport.abort()
            await self._server.wait_closed()

    async def run(self) -> None:
        """Sends ticks and heartbeats until cancelled."""
        while True:
            behind = self.step()
            await anyio.sleep(0 if behind else self._step_ms / 1000)

    def step(self) -> bool:
        """Sends what is due; returns whether more is due. After a delay every tick is sent, in slices."""
        now_ms = self.state.now_ms()
        late = now_ms - self._stepped_ms
        if not 0 <= late <= LATEST_MS:
            self._stepped_ms = now_ms - self._step_ms
        due = range(self._stepped_ms + self._step_ms, now_ms + 1, self._step_ms)
        for moment in due[:STEPS_AT_ONCE]:
            self.broadcaster.step(moment)
            self.state.orders.match(moment)
            self._stepped_ms = moment
        behind = len(due) > STEPS_AT_ONCE
        if not behind:  # after its last ticks, so that they do not follow its end
            self._lifecycle.step(now_ms)
        for name, argument in self._day.due(now_ms) if self._day else ():
            self.inject(name, argument)
        now = self.state.monotonic()
        self._inject_due(now)
        for session in self.sessions:
            session.step(now)
        return behind

    def inject(self, name: str, argument: str = "") -> None:
        """Injects a fault of the table in ``faults``; raises ValueError for an unknown one."""
        inject(self, name, argument)

    def _inject_due(self, now: float) -> None:
        due = [order for at, order in self._scheduled_faults if at <= now]
        if due:
            self._scheduled_faults = [order for order in self._scheduled_faults if order[0] > now]
            self._scheduled_faults += [(now + order.every_seconds, order) for order in due if order.every_seconds]
            for order in due:
                try:
                    self.inject(order.name, order.argument)
                except ValueError as exc:  # an unknown instrument or index: logged, and the exchange continues
                    log.warning("fault failed", fault=order.name, argument=order.argument, reason=str(exc))

    def statistics(self) -> dict[str, Any]:
        """Returns counts since the start: connections, notifications, requests by method."""
        return {
            "connections": self.connections,
            "sessions_open": len(self.sessions),
            "sessions_most_at_once": self.most_at_once,
            "notifications": self.broadcaster.sent,
            "requests": dict(self.state.requests),
        }

    async def replay(self) -> None:
        """Serves the recording once one of its channels is subscribed, then sets ``replayed``."""
        if not self._recorded:
            return
        await self._wanted.wait()
        await anyio.sleep(SETTLE_SECONDS)
        for line in self._recorded:
            await anyio.sleep(line.pause_seconds / self._speed if self._speed else 0)
            for link in list(self.links):
                await link.writable.wait()  # a slow reader must not lose recorded notifications
            self.broadcaster.publish(line.channel, line.text)
        self.replayed.set()

    def _subscribed(self, channel: str) -> None:
        if channel in self.broadcaster.recorded:
            self._wanted.set()

    # What a connection calls (see ConnectionOwner).

    def opened(self, link: ServerConnection) -> bool:
        """Count a connection; False when its address has too many (HTTP 429)."""
        same = sum(other.address == link.address for other in self.links)
        self.links.add(link)
        self.connections += 1
        return same < self._most_connections

    def closed(self, link: ServerConnection) -> None:
        """Removes a closed connection."""
        self.links.discard(link)
        if link.caller is not None:
            self.state.accounts.connection_closed(link.caller)

    def session(self, link: ServerConnection) -> WebSocketSession:
        """The session of a new WebSocket connection."""
        session = WebSocketSession(self.state, self.broadcaster, link, link.address)
        self.opened_sessions.append(session)
        self.most_at_once = max(self.most_at_once, len(self.sessions) + 1)
        return session

    def received(self, link: ServerConnection, text: str | bytes) -> None:
        """A message on a WebSocket connection."""
        if link.session is not None:
            link.session.receive(text)

    def http(self, caller: HttpCaller, verb: str, target: str, headers: dict[str, str], body: bytes) -> HttpResponse:
        """A request over HTTP."""
        if target.startswith(control.PREFIX):
            return control.respond(self, verb, target)
        if self.state.active_faults.http_page:
            return HttpResponse(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html")
        if self.state.door.oauth and target.startswith(OAUTH_PREFIX):
            return self._oauth.respond(verb, target, headers, body)
        return respond(self.state, self.broadcaster, caller, verb, target, headers, body)


@asynccontextmanager
async def running_exchange(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    door: str = DERIBIT.name,
    seed: int = 1,
    accounts: Sequence[SimulatedAccount] = (),
    oauth_client: RegisteredClient | None = None,
    replay: Path | Sequence[Path] | None = None,
    speed: float = 1.0,
    time_scale: float = 1.0,
    day: bool = False,
    testnet: bool | None = None,
    switches: Switches | None = None,
    budgets: dict[str, CreditLimit] | None = None,
    most_connections: int = CONNECTIONS_PER_ADDRESS.value,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    faults: Sequence[str] = (),
) -> AsyncIterator[Exchange]:
    """A simulated exchange that runs within the block, on a free port unless one is named.

    ``door`` is a name of ``doors.DOORS``; without accounts it has the door's usual one, and ``testnet`` is the door's.
    ``oauth_client`` is the application that may ask persons of Coinbase for their consent.
    ``replay`` serves recorded files at ``speed`` times their pace (0: without pauses). ``time_scale`` multiplies the
    rate of ticks. ``day``: about 5,000 instruments and the happenings of a real day, by the clock ``wall``.
    ``faults`` are texts like ``drop/30`` (see ``faults``). Raises OSError for a
    port that is taken, UnreadableRecording for bad files and ValueError for an unknown fault or door.
    """
    if door not in DOORS:
        raise ValueError(f"unknown door {door!r}: expected one of {', '.join(DOORS)}")
    paths = [replay] if isinstance(replay, Path) else list(replay or ())
    exchange = Exchange(
        door=DOORS[door],
        seed=seed,
        accounts=accounts,
        oauth_client=oauth_client,
        recorded=read_recordings(paths),
        speed=speed,
        time_scale=time_scale,
        day=day,
        testnet=testnet,
        switches=switches,
        budgets=budgets,
        most_connections=most_connections,
        wall=wall,
        monotonic=monotonic,
        scheduled_faults=[ScheduledFault.parse(text) for text in faults],
    )
    await exchange.listen(host, port)
    failed: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(exchange.run)
            tasks.start_soon(exchange.replay)
            try:
                yield exchange
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as exc:
                failed = exc  # raised below, not wrapped in an exception group: it is the caller's own
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await exchange.close()
    if failed is not None:
        raise failed
