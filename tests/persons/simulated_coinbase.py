"""The leader's parts for persons of Coinbase, with our own clients of its HTTP and OAuth2, without sockets.

The simulated Coinbase answers on the test's clock, and so do budgets and pauses: a day passes in seconds.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import anyio.lowlevel
import httpx2
import msgspec

from cryptomarket.deribit.auth import Secret
from cryptomarket.deribit.doors import OAuth
from cryptomarket.deribit.http_calls import HttpCalls
from cryptomarket.deribit.http_transport import HttpTransport
from cryptomarket.deribit.oauth_client import OAuthApplication, OAuthClient
from cryptomarket.model import SessionChanged
from cryptomarket.persons.accounts import AccountReader
from cryptomarket.persons.browser_sessions import BrowserSessions
from cryptomarket.persons.cache import Cache
from cryptomarket.persons.coinbase_door import COINBASE_DOOR, CoinbaseDoor
from cryptomarket.persons.coinbase_login import CoinbaseLogin
from cryptomarket.persons.leader_requests import AccountRequest, LeaderReply, LoginRequest
from cryptomarket.persons.limits import LoginLimits
from cryptomarket.persons.login_flow import LoginFlow
from cryptomarket.persons.login_secrets import LoginSecrets
from cryptomarket.persons.notifications import LoginFailures
from cryptomarket.persons.person import Person
from cryptomarket.persons.token_renewal import TokenRenewal
from cryptomarket.persons.vault import Vault
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.doors import DOORS
from cryptomarket.simulator.exchange import Exchange
from cryptomarket.simulator.http import HttpCaller
from cryptomarket.simulator.oauth_server import RegisteredClient

from .simulated import UNLIMITED

__all__ = ["CLIENT", "Coinbase", "CoinbaseLeader", "VirtualClock"]

CLIENT = RegisteredClient("our-app", "wP5kN1-secret-of-our-app_3Qd")
_HOST = "http://coinbase.test"
_OAUTH = OAuth(f"{_HOST}/oauth2/auth", f"{_HOST}/oauth2/token", f"{_HOST}/oauth2/revoke")


class VirtualClock:
    """UNIX seconds that pass when nothing else can happen; who sleeps wakes by them."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has gone on."""
        self._count += 1
        event = anyio.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, event))
        await event.wait()

    @property
    def next(self) -> float:
        """When the next sleeper wakes."""
        return self._sleepers[0][0] if self._sleepers else float("inf")

    def advance_to(self, moment: float) -> None:
        """Set the clock forward and wake who slept until then."""
        self.now = max(self.now, moment)
        while self._sleepers and self._sleepers[0][0] <= self.now:
            heapq.heappop(self._sleepers)[2].set()


async def settled() -> None:
    """Let every task go on until all of them wait."""
    me = asyncio.current_task()
    for _ in range(3):  # what was scheduled at the end of tasks
        await asyncio.sleep(0)
    while any(task is not me and (task._fut_waiter is None or task._fut_waiter.done()) for task in asyncio.all_tasks()):  # type: ignore[attr-defined]
        await asyncio.sleep(0)


class LocalTransport(HttpTransport):
    """Requests that the simulated exchange answers without a socket.

    ``sent`` are the moments of requests; while ``away`` none arrives, while ``losing`` no answer does.
    """

    def __init__(
        self, exchange: Exchange, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        super().__init__(monotonic=clock, sleep=sleep)
        self._exchange = exchange
        self._caller = HttpCaller("127.0.0.1")
        self.sent: list[float] = []
        self.away = self.losing = False
        #: Called between the server's work and its answer.
        self.between: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint

    async def _answer(self, verb: str, url: str, **how: Any) -> tuple[int, bytes]:
        await anyio.lowlevel.checkpoint()
        if self.away:
            raise httpx2.ConnectError("away")
        self.sent.append(self._monotonic())
        lower = {name.lower(): value for name, value in (how.get("headers") or {}).items()}
        body = urlencode(how["data"]).encode() if "data" in how else how["content"]
        response = self._exchange.http(self._caller, verb, urlsplit(url).path, lower, body)
        await self.between()
        if self.losing:
            raise httpx2.ReadError("lost")
        return response.status, response.body


class Coinbase:
    """The simulated Coinbase with our clients of it."""

    def __init__(
        self, accounts: list[SimulatedAccount], clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.exchange = Exchange(
            door=DOORS["coinbase-main"],
            accounts=accounts,
            oauth_client=CLIENT,
            wall=clock,
            monotonic=clock,
            budgets=UNLIMITED,
        )
        self.calls = LocalTransport(self.exchange, clock, sleep)
        self.logins = LocalTransport(self.exchange, clock, sleep)
        application = OAuthApplication(CLIENT.client_id, Secret(CLIENT.client_secret))
        self.client = OAuthClient(_OAUTH, application, self.logins)
        self.door = CoinbaseDoor(HttpCalls(f"{_HOST}/api/v2", self.calls).call, self.client, wall=clock)

    @property
    def issued(self) -> Any:
        """What the OAuth2 server has issued."""
        return self.exchange.state.accounts.oauth

    def consent(self, address: str, account: SimulatedAccount) -> dict[str, str]:
        """Consent at Coinbase's page; return what the browser brings back."""
        query = address.partition("?")[2]
        body = urlencode({"account": account.client_id}).encode()
        response = self.exchange.http(HttpCaller("127.0.0.1"), "POST", f"/oauth2/auth?{query}", {}, body)
        location = dict(response.headers)["location"]
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


class CoinbaseLeader:
    """What one leader runs, over a cache that others share; ``published`` is what browsers are told."""

    def __init__(self, coinbase: Coinbase, cache: Cache, vault: Vault, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.published: list[SessionChanged] = []
        publish = self.published.append
        self.coinbase = coinbase
        self.sessions = BrowserSessions(cache, vault, publish=publish, wall=clock)
        doors = {COINBASE_DOOR: coinbase.door}
        self.renewal = TokenRenewal(doors, self.sessions, publish=publish, wall=clock)
        self.accounts = AccountReader(
            doors, self.sessions, renew=self.renewal.renew, end=self.renewal.end, monotonic=clock
        )
        self.login_secrets = LoginSecrets(cache, vault)
        self.flow = LoginFlow(
            doors,
            self.login_secrets,
            self.sessions,
            LoginLimits(cache, vault.keyring.sign, per_minute=1_000_000, wall=clock),
            LoginFailures(cache, vault, publish=publish),
            publish=publish,
            on_login=(self.renewal.add, self.accounts.forget),
            wall=clock,
        )
        self.begins = CoinbaseLogin(cache, vault, _OAUTH, CLIENT.client_id)

    async def log_in(self, account: SimulatedAccount, session: str) -> Person | None:
        """Go to Coinbase and back, and serve the login."""
        address = await self.begins.begin(session, "http://127.0.0.1:8000")
        back = self.coinbase.consent(address, account)
        code = await self.begins.end([back["state"]], [back["code"]], session)
        login_id = await self.login_secrets.put(COINBASE_DOOR, bytearray(msgspec.json.encode(code)))
        request = LoginRequest(login_id, session, "coinbase", "192.0.2.1", self.clock(), "", COINBASE_DOOR)
        await self.flow.log_in(request)
        return (await self.sessions.persons_of([session]))[0]

    async def balances(self, person_id: str, session: str) -> LeaderReply:
        """The leader's reply about the balances."""
        return await self.accounts.reply(AccountRequest(person_id, session))
