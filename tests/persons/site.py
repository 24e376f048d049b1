"""A gateway with persons and its exchange over real sockets, and browsers with cookies."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2

from cryptomarket.app.gateway import Gateway
from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.conformance.eventsource import MessageEvent
from cryptomarket.settings import read_settings
from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.processes import eventually
from tests.reader import Reader, reading
from tests.web.site import running_server

__all__ = ["ADA", "BOB", "Browser", "PersonSite", "connection_event", "running_persons"]

ADA = SimulatedAccount("ada-key", "kQ3vX9-secret-of-ada_7Zp", "ada@example.com", "ada")
BOB = SimulatedAccount("bob-key", "wW8tY2-secret-of-bob_4Rm", "bob@example.com", "bob")


@dataclass(eq=False)
class Tab:
    """A page with a stream; another one takes its place when the browser gets a new cookie, as pages do."""

    url: str
    stack: contextlib.AsyncExitStack
    reader: Reader | None = None

    async def open(self, cookies: str) -> None:
        """Close the stream and open another one."""
        await self.stack.aclose()
        self.reader = await self.stack.enter_async_context(reading(f"{self.url}/sse/?timer=3600", cookie=cookies))

    async def next(self, name: str) -> MessageEvent:
        """Return the next event of the channel; skip others."""
        assert self.reader
        return await self.reader.next(name)


@dataclass
class Browser:
    """A browser with its cookies and tabs."""

    url: str
    client: httpx2.AsyncClient
    tabs: list[Tab] = field(default_factory=list)

    @property
    def cookies(self) -> str:
        """The header with its cookies."""
        return "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())

    async def log_in(self, account: SimulatedAccount, secret: str | None = None, **headers: str) -> httpx2.Response:
        """Post the credentials of the account, with another secret if one is given; its tabs follow the new cookie."""
        body = {"client_id": account.client_id, "client_secret": secret or account.client_secret}
        before = self.cookies
        answer = await self.client.post("/api/v1/persons/login", json=body, headers=headers)
        if self.cookies != before:
            for tab in self.tabs:
                await tab.open(self.cookies)
        return answer

    async def me(self, **headers: str) -> httpx2.Response:
        """Request who is logged in."""
        return await self.client.get("/api/v1/persons/me", headers=headers)

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncIterator[Tab]:
        """A tab with an open stream."""
        async with contextlib.AsyncExitStack() as stack:
            tab = Tab(self.url, stack)
            await tab.open(self.cookies)
            self.tabs.append(tab)
            yield tab
            self.tabs.remove(tab)


async def connection_event(reader: Reader | Tab, *kinds: str, seconds: float = 20.0) -> dict[str, Any]:
    """Return the next event of the channel `connection` that is of one of the kinds."""
    with anyio.fail_after(seconds):
        while True:
            event = json.loads((await reader.next("connection")).data)
            if event["kind"] in kinds:
                return dict(event)


@dataclass
class PersonSite:
    """A gateway with its exchange and its browsers."""

    gateway: Gateway
    exchange: Exchange
    url: str
    stack: contextlib.AsyncExitStack = field(repr=False)

    async def browser(self) -> Browser:
        """A new browser that has opened the page."""
        client = await self.stack.enter_async_context(httpx2.AsyncClient(base_url=self.url, timeout=60))
        await client.get("/")
        assert client.cookies.get("cryptomarket_session")
        return Browser(self.url, client)


@contextlib.asynccontextmanager
async def running_persons(
    folder: Path,
    *,
    accounts: Sequence[SimulatedAccount] = (ADA, BOB),
    exchange: Mapping[str, Any] | None = None,
    **settings: object,
) -> AsyncIterator[PersonSite]:
    """Run a gateway that is connected to a simulated exchange; ``settings`` are the gateway's."""
    async with running_exchange(accounts=accounts, **(exchange or {})) as upstream:
        values = {
            "database_url": f"sqlite+aiosqlite:///{folder / 'x.db'}",
            "deribit_ws_url": upstream.ws_url,
            "deribit_http_url": upstream.http_url,
            "logins_per_minute": 1_000,
            "rest_units_per_second": 100_000,  # all browsers have one address
            "drain_seconds": 0,
        }
        gateway = Gateway(read_settings(**{**values, **settings}))
        async with gateway.running(), running_server(gateway.app, http=HandoverProtocol) as url:
            await eventually(lambda: gateway.latest.tick("btc_usd"), "prices flow")
            async with contextlib.AsyncExitStack() as stack:
                yield PersonSite(gateway, upstream, url, stack)
                await gateway.drain()
