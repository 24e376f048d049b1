"""Persons log in with known secrets while parts fail; then memory, Redis, files, logs and responses are searched.

The gateway is a process of its own with DEBUG logs; Redis is a real one behind a proxy; the exchange is the simulator
over real sockets. CRYPTOMARKET_CANARY=200 says how many persons take part, 18 when it is not set.
"""

import contextlib
import json
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.processes import Program, running_program
from tests.redis_server import RedisServer, running_redis
from tests.tcp_proxy import TcpProxy, tcp_proxy

from .canary import Canary, Find, Memory
from .crowd import Crowd, Tab, accounts

pytestmark = pytest.mark.system

PERSONS = int(os.environ.get("CRYPTOMARKET_CANARY", "18"))
#: How many answers of Redis come through before the line is cut, in one round after the other.
CUTS = range(1, 7)


Work = Callable[["Run", Tab, SimulatedAccount], Coroutine[Any, Any, object]]


@dataclass
class Run:
    """The gateway, the services around it, its browsers, and all secrets that were sent."""

    program: Program
    exchange: Exchange
    redis: RedisServer
    line: TcpProxy
    crowd: Crowd
    folder: Path
    secrets: dict[str, bytes] = field(default_factory=dict)

    def made_up(self, name: str) -> str:
        """A secret that is not valid and is searched for all the same."""
        text = random.Random(name).randbytes(24).hex()
        self.secrets[name] = text.encode()
        return text

    def grants(self) -> dict[str, bytes]:
        """A part of every token that the exchange issued and still accepts."""
        given = self.exchange.state.accounts._by_access.values()
        pairs = [(grant.access, grant.refresh) for grant in given]
        return {f"token {number}": token[40:80].encode() for number, token in enumerate(sum(pairs, ()))}


@contextlib.asynccontextmanager
async def running(folder: Path, persons: list[SimulatedAccount]) -> AsyncIterator[Run]:
    """Run a gateway with a Redis, an exchange and a folder of its own."""
    away = folder / "redis"
    away.mkdir()
    home = folder / "gateway"
    home.mkdir()
    async with (
        running_redis(away, "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000") as redis,
        tcp_proxy(redis.port) as line,
        running_exchange(accounts=persons) as exchange,
        running_program(
            home,
            "serve",
            deribit_ws_url=exchange.ws_url,
            deribit_http_url=exchange.http_url,
            redis_url=f"redis://127.0.0.1:{line.port}/0",
            log_level="debug",
            logins_per_minute=100_000,
            rest_units_per_second=100_000,
            max_streams_per_address=10_000,
        ) as program,
    ):
        crowd = Crowd(await program.url())
        with anyio.fail_after(60):
            while (await crowd.ask("GET", "/readyz"))[0] != 200:
                await anyio.sleep(0.05)
        run = Run(program, exchange, redis, line, crowd, home)
        run.secrets = {account.client_id: account.client_secret.encode() for account in persons}
        yield run


async def log_in(run: Run, tab: Tab, account: SimulatedAccount, secret: str | None = None) -> str:
    """Log in; return the kind of the outcome, or the status of a login that was refused."""
    status = await run.crowd.post(tab, account.client_id, secret or account.client_secret)
    return str((await tab.outcome())["kind"]) if status == 202 else str(status)


# What happens to persons


async def succeed(run: Run, tab: Tab, account: SimulatedAccount) -> None:
    """A login, requests with it, and for every second person a log-out."""
    assert await log_in(run, tab, account) == "person"
    assert (await run.crowd.ask("GET", "/api/v1/persons/me", Cookie=tab.cookie))[0] == 200
    assert (await run.crowd.ask("GET", "/api/v1/persons/me/account", Cookie=tab.cookie))[0] in (200, 503)  # a queue
    if int(account.client_id[-1]) % 2:
        assert (await run.crowd.ask("DELETE", "/api/v1/persons/me", Cookie=tab.cookie))[0] == 204


async def wrong(run: Run, tab: Tab, account: SimulatedAccount) -> None:
    """A login with a wrong secret."""
    assert await log_in(run, tab, account, run.made_up(f"wrong {account.client_id}")) == "login_failed"


async def mistake(run: Run, tab: Tab, account: SimulatedAccount) -> None:
    """The right secret in every malformed request; none reaches the exchange."""
    secret = account.client_secret
    whole = json.dumps({"client_id": account.client_id, "client_secret": secret})
    long = json.dumps({"client_id": account.client_id, "client_secret": secret * 20})
    listed = json.dumps({"client_id": account.client_id, "client_secret": [secret]})
    bodies = [whole[:-1], long, long * 20, listed, f"{secret}{whole}", f'"{secret}"']
    kinds = ["application/json"] * len(bodies) + ["text/plain", "application/x-www-form-urlencoded"]
    for body, kind in zip([*bodies, whole, f"client_secret={secret}"], kinds, strict=True):
        given = {"Content_Type": kind, "Cookie": tab.cookie}
        status, _ = await run.crowd.ask("POST", "/api/v1/persons/login", body.encode(), **given)
        assert status in (400, 413, 415, 422), body
    foreign = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    assert await run.crowd.post(tab, account.client_id, secret, **foreign) == 403
    async with run.crowd.half_a_login(tab.cookie, account):
        pass  # hung up in the middle


async def all_at_once(run: Run, tabs: list[Tab], persons: list[SimulatedAccount], work: Work) -> None:
    """Run the work for all persons at once."""
    async with anyio.create_task_group() as tasks:
        for tab, account in zip(tabs, persons, strict=True):
            tasks.start_soon(work, run, tab, account)


async def broken_exchange(run: Run, tabs: list[Tab], persons: list[SimulatedAccount]) -> None:
    """Logins while the exchange returns errors or closes the connection; each has an outcome."""
    for orders in (
        [("error", "private/get_account_summary:13021")],
        [("error", "private/get_account_summary:0"), ("drop", "")],
        [("garbage", "")],
        [("truncated", "")],
        [("error", "public/auth:13004")],
        [("error", "public/auth:0")],
    ):
        async with anyio.create_task_group() as tasks:
            for tab, account in zip(tabs, persons, strict=True):
                tasks.start_soon(log_in, run, tab, account)
            for fault, argument in orders:
                run.exchange.inject(fault, argument)


async def hung_exchange(run: Run, tabs: list[Tab], persons: list[SimulatedAccount]) -> None:
    """Logins that the exchange does not answer; in a short run a closed connection ends them, not the timeout."""
    run.exchange.inject("unanswered", "public/auth")
    before = len(run.exchange.state.accounts._by_access)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(all_at_once, run, tabs, persons, log_in)
        with anyio.fail_after(30):
            while len(run.exchange.state.accounts._by_access) < before + 3:
                await anyio.sleep(0.01)
        run.exchange.inject("clear")
        if PERSONS < 100:
            run.exchange.inject("drop")


async def broken_redis(run: Run, tab: Tab, account: SimulatedAccount) -> None:
    """Logins while the connection to Redis is cut after each number of replies, and while Redis hangs."""
    for count in CUTS:
        left, done = count, anyio.Event()

        def cut(chunk: bytes) -> list[bytes]:
            nonlocal left
            left -= 1
            if left == 0:
                run.line.cut()
            return [chunk]

        async def try_it(number: int = count, done: anyio.Event = done) -> None:
            with anyio.move_on_after(20):  # an outcome published while the line is cut may be lost
                await log_in(run, tab, account, run.made_up(f"cut {number}") if number % 2 else None)
            done.set()

        run.line.transform = cut
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(try_it)
            while left > 0 and not done.is_set():
                await anyio.sleep(0.01)
            await anyio.sleep(0.05)  # what comes after the cut fails, too
            run.line.mend()
        await back(run, tab)
    run.redis.pause()
    assert await run.crowd.post(tab, account.client_id, account.client_secret) == 503
    run.redis.resume()
    await back(run, tab)


async def back(run: Run, tab: Tab) -> None:
    """Wait until Redis answers the gateway again."""
    with anyio.fail_after(30):
        while (await run.crowd.ask("GET", "/api/v1/persons/me", Cookie=tab.cookie))[0] not in (200, 401):
            await anyio.sleep(0.05)


# The search


async def memory_of(run: Run, canary: Canary) -> Memory:
    """Search the gateway's memory, in a thread because the proxy to Redis runs in this loop."""
    try:
        return await anyio.to_thread.run_sync(canary.in_memory, run.program.process.pid)
    except PermissionError:
        pytest.skip("the memory of other processes cannot be read here")


async def half_sent(run: Run, canary: Canary, tab: Tab, account: SimulatedAccount) -> None:
    """Find the secret of a half-read login in memory, which proves that the search finds secrets there."""
    with anyio.fail_after(60):
        while True:
            async with run.crowd.half_a_login(tab.cookie, account):
                memory = await memory_of(run, canary)
                if account.client_id in {find.secret for find in memory.finds}:
                    return


def kept_by_browsers(run: Run) -> dict[str, bytes]:
    """What only browsers may have: their cookies and session tokens."""
    cookies = {f"cookie {number}": tab.cookie.partition("=")[2].encode() for number, tab in enumerate(run.crowd.tabs)}
    found = {token for tab in run.crowd.tabs for token in re.findall(rb'"token":"([^"]+)"', tab.received)}
    return cookies | {f"session token {number}": token[40:80] for number, token in enumerate(sorted(found))}


def leaks(finds: list[Find]) -> list[str]:
    """Describe finds by name, form and place, without the secret."""
    return sorted({f"{find.secret} as {find.form} in {find.place}" for find in finds})


async def everything_happens(run: Run, tabs: list[Tab], persons: list[SimulatedAccount]) -> None:
    """Logins that succeed, fail, break at every step and hang; at the end all persons log in."""
    third = len(persons) // 3
    first, second, last = slice(0, third), slice(third, 2 * third), slice(2 * third, None)
    await all_at_once(run, tabs[first], persons[first], succeed)
    await all_at_once(run, tabs[second], persons[second], wrong)
    await broken_exchange(run, tabs[first][:3], persons[first][:3])
    await hung_exchange(run, tabs[last], persons[last])
    await all_at_once(run, tabs[first], persons[first], mistake)
    await broken_redis(run, tabs[last][0], persons[last][0])
    await all_at_once(run, tabs[last], persons[last], log_in)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs /proc")
async def test_threat_01_02_03_no_secret_is_anywhere(tmp_path: Path) -> None:
    """After logins of every kind no secret is in memory, Redis, files, logs, responses or streams."""
    persons = accounts(PERSONS)
    async with running(tmp_path, persons) as run, contextlib.AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(run.crowd.tab()) for _ in persons]
        await everything_happens(run, tabs, persons)
        secrets = Canary(run.secrets)
        await half_sent(run, secrets, tabs[0], persons[0])
        await anyio.sleep(1)  # the secret must be gone from memory within a second
        memory = await memory_of(run, secrets)
        print(f"{len(run.secrets)} secrets of {len(persons)} persons, {len(memory.finds)} copies in {memory}")
        assert not leaks(memory.finds)
        assert not leaks(secrets.in_process(run.program.process.pid))
        kept = Canary(run.secrets | run.grants())
        assert not leaks(kept.scan(b" ".join(run.crowd.everything()), "what browsers received"))

        everything = Canary(run.secrets | run.grants() | kept_by_browsers(run))
        assert not leaks(await everything.in_redis(run.redis.url))
        assert run.redis.process is not None
        assert not leaks(secrets.in_memory(run.redis.process.pid).finds)
        assert (run.folder / "history.db-wal").exists()
        assert not leaks(everything.in_files(tmp_path))
        assert run.program.logged("person logged in")
        assert run.program.logged("login failed")
        assert await run.program.stop() == 0
        assert not leaks(everything.in_files(tmp_path))
