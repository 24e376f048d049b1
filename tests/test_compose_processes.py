"""The services of docker-compose.yml as processes: the same commands and environment, on free ports."""

import contextlib
import os
import re
import shutil
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import async_playwright
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.rpc import RedisRpc
from cryptomarket.model import Message, Source, Tick
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.databases import Postgres, StoredHistory

from .cluster.messages import KEYS
from .composition import composition, environment
from .persons.caches import redis_cache
from .processes import Program, running_command
from .redis_server import RedisServer
from .reverse_proxy import account_url, redis_with_accounts, refusals, running_nginx
from .service_secrets import postgres_with_accounts

pytestmark = pytest.mark.system

MANY_STREAMS = """
(count) => Promise.all(Array.from({length: count}, () => new Promise((resolve) => {
    const stream = new EventSource("/sse/?timer=1");
    stream.addEventListener("btc_usd", () => resolve(stream.readyState));
})))
"""


def variables_of(
    folder: Path, service: str, server: Postgres, redis: RedisServer, exchange: Exchange
) -> dict[str, str]:
    """Return the environment of a service, with places of this machine instead of containers.

    The files of its secrets are those that the service `secrets` wrote; only the hosts in them are replaced.
    """
    inside = environment(service)
    for name, value in inside.items():
        if value.startswith("/secrets/"):
            place, text = folder / "here" / service / name, (folder / value[1:]).read_text()
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(
                text.replace("@redis:6379/", f"@127.0.0.1:{redis.port}/").replace(
                    "@postgres/cryptomarket", f"@/cryptomarket?host={server.folder}"
                )
            )
            place.chmod(0o400)
            inside[name] = str(place)
    here = {
        "CRYPTOMARKET_PORT": "0",
        "CRYPTOMARKET_TRUSTED_PROXIES": "127.0.0.0/8",
        "CRYPTOMARKET_DERIBIT_WS_URL": exchange.ws_url,
        "CRYPTOMARKET_DERIBIT_HTTP_URL": exchange.http_url,
        "CRYPTOMARKET_DRAIN_SECONDS": "0.5",
        "TMPDIR": str(folder),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOMARKET_")}
    return {**kept, **inside, **here}


def command_of(service: str) -> list[str]:
    """Return the command of a service, or of the image, for this Python."""
    program, *arguments = composition().services[service].command or ["cryptomarket", "serve"]
    return [sys.executable, "-m", program, *arguments]


async def migrate(folder: Path, server: Postgres, redis: RedisServer, exchange: Exchange) -> None:
    """Run the service `migrate` to its end."""
    variables = variables_of(folder, "migrate", server, redis, exchange)
    async with running_command(folder, command_of("migrate"), variables) as job:
        with anyio.fail_after(120):
            assert await job.process.wait() == 0, job.log


@contextlib.asynccontextmanager
async def gateways(
    folder: Path, server: Postgres, redis: RedisServer, exchange: Exchange
) -> AsyncIterator[list[Program]]:
    """Run the migration, then both gateways, with the folder as their shared volume."""
    await migrate(folder, server, redis, exchange)
    async with AsyncExitStack() as stack:
        found = []
        for name in ("gateway", "gateway-2"):
            variables = variables_of(folder, name, server, redis, exchange)
            found.append(await stack.enter_async_context(running_command(folder, command_of(name), variables)))
            await found[-1].url()
        yield found


async def test_two_gateways_behind_nginx(tmp_path: Path) -> None:
    """A browser has ten streams, `/metrics` is not public, and without gateways a stream gets a `retry:`."""
    async with (
        running_exchange() as exchange,
        redis_with_accounts(tmp_path) as redis,
        AsyncExitStack() as stack,
    ):
        server = stack.enter_context(postgres_with_accounts(tmp_path))
        nodes = await stack.enter_async_context(gateways(tmp_path, server, redis, exchange))
        addresses = [(await node.url()).removeprefix("http://") for node in nodes]
        trust = ssl.create_default_context()
        async with running_nginx(tmp_path, addresses) as (url, _):
            trust.load_verify_locations(tmp_path / "certificates" / "tls.crt")
            async with httpx2.AsyncClient(verify=trust, base_url=url, timeout=60) as client:
                with anyio.fail_after(120):
                    while (await client.get("/readyz")).status_code != 200:
                        await anyio.sleep(0.1)
                assert (await client.get("/metrics")).status_code == 404
                assert await streams_in_a_browser(url, 10) == [1] * 10
                for node in nodes:
                    assert await node.stop(seconds=60) == 0, node.log
                answer = await client.get("/sse/?timer=1")
        assert answer.status_code == 200
        assert re.fullmatch(r"retry: [2-5]000\n\n", answer.text)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert await refusals(redis) == []


async def streams_in_a_browser(url: str, count: int) -> list[int]:
    """Open ``count`` streams in one page; return their states after each has received a price."""
    path = os.environ.get("CRYPTOMARKET_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine (set CRYPTOMARKET_CHROMIUM)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(f"{url}/healthz")
        with anyio.fail_after(120):
            found = await page.evaluate(MANY_STREAMS, count)
        await browser.close()
    return list(found)


async def test_celery_stores_prices_beside_a_gateway(tmp_path: Path) -> None:
    """A worker and a beat store prices and write their health file; Redis refuses none of their commands."""
    async with running_exchange() as exchange, redis_with_accounts(tmp_path) as redis, AsyncExitStack() as stack:
        server = stack.enter_context(postgres_with_accounts(tmp_path))
        await migrate(tmp_path, server, redis, exchange)
        quick = {"CRYPTOMARKET_CELERY_INTERVAL": "1", "CRYPTOMARKET_SNAPSHOT_INTERVAL": "1"}
        for name in ("gateway", "worker", "beat"):
            variables = variables_of(tmp_path, name, server, redis, exchange) | quick
            variables["CRYPTOMARKET_RECORDER"] = "off"
            python, *words = command_of(name)  # the path of the interpreter may begin with /tmp
            command = [python, *(word.replace("/tmp/", f"{tmp_path}/") for word in words)]
            await stack.enter_async_context(running_command(tmp_path, command, variables))
        async with StoredHistory(server.url("cryptomarket"), interval=1) as store:
            with anyio.fail_after(240):
                while len(rows := (await store.prices("btc_usd")).data) < 3:
                    await anyio.sleep(0.2)
        assert {row.source for row in rows} == {Source.SNAPSHOT}
        assert (tmp_path / "cryptomarket.celery").exists()
        schedules = [path.stat().st_mode & 0o777 for path in tmp_path.glob("beat*")]
        assert schedules
        assert set(schedules) == {0o600}
        assert await refusals(redis) == []


async def test_the_account_of_the_gateway_may_do_its_work(tmp_path: Path) -> None:
    """Redis refuses no command of the login cache, the requests and the bus."""
    async with redis_with_accounts(tmp_path) as server:
        url = account_url(server, "cryptomarket")
        async with redis_cache(url) as cache:
            await cache.put("deribit:login:1", b"x", 60)
            assert await cache.get("deribit:login:1") == [b"x"]
            assert await cache.swap("deribit:login:1", b"x", b"y")
            assert await cache.swap("deribit:login:1", b"y", b"z", 60)
            await cache.extend({"deribit:login:1": 60})
            assert [name async for name in cache.names("deribit:login:")] == ["deribit:login:1"]
            assert await cache.count("deribit:limit:1", 60) == 1
            assert await cache.take("deribit:login:1") == b"z"
            await cache.delete("deribit:limit:1")
        assert await answered(url) == b"done: request"
        async with redis_client(url) as redis, anyio.create_task_group() as tasks:
            leader, follower = RedisBus(redis, "n1", KEYS), RedisBus(redis, "n2", KEYS)
            received: list[Message] = []
            follower.subscribe(received.append)
            leader.lead(1)
            for bus in (leader, follower):
                await tasks.start(bus.run)
            with anyio.fail_after(120):
                while not any(isinstance(message, Tick) for message in received):
                    leader.publish(Tick("btc_usd", Decimal(1), int(time.time() * 1000)))
                    await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
        assert await refusals(server) == []


async def answered(url: str) -> bytes:
    """Send a request from one node to another; return the reply."""

    async def handle(body: bytes) -> bytes:
        return b"done: " + body

    async with redis_client(url) as redis, anyio.create_task_group() as tasks:
        requester, leader = RedisRpc(redis, "n1", KEYS), RedisRpc(redis, "n2", KEYS)
        for rpc in (requester, leader):
            await tasks.start(rpc.run)
        await tasks.start(leader.serve, handle)
        reply = await requester.request(b"request", seconds=30)
        tasks.cancel_scope.cancel()
    return reply


async def test_the_health_check_of_redis(tmp_path: Path) -> None:
    """It answers by an account that may do nothing else, and fails without the right password."""
    async with redis_with_accounts(tmp_path) as server:
        check = composition().services["redis"].healthcheck
        assert check is not None
        command = check.test[1].replace("$$", "$").replace("redis-cli", f"redis-cli -p {server.port}")
        command = command.replace("/secrets", str(tmp_path / "secrets"))
        assert (await anyio.run_process(command)).returncode == 0
        async with Redis.from_url(account_url(server, "health")) as redis:
            for forbidden in ("GET cryptomarket:x", "SET cryptomarket:x 1", "ACL LIST", "PUBLISH cryptomarket:bus:0 x"):
                with pytest.raises(NoPermissionError):
                    await redis.execute_command(*forbidden.split())
        password = tmp_path / "secrets" / "redis" / "health_password"
        password.chmod(0o600)
        password.write_text("wrong")
        assert (await anyio.run_process(command, check=False)).returncode != 0


@pytest.mark.parametrize("account", ["cryptomarket", "celery"])
async def test_an_account_may_do_nothing_else(tmp_path: Path, account: str) -> None:
    """Redis refuses administration, scripts and other keys to the account, and clients without an account."""
    forbidden = ["CONFIG GET *", "FLUSHALL", "KEYS *", "EVAL return(1) 0", "ACL LIST", "SHUTDOWN"]
    forbidden += ["MONITOR", "REPLICAOF NO ONE", "SCRIPT FLUSH", "MODULE LIST", "CLIENT LIST", "CLIENT KILL x:1"]
    forbidden += ["GET other", "SET other 1", "MGET deribit:x other", "SUBSCRIBE other", "SAVE", "LASTSAVE"]
    if account == "celery":
        forbidden += ["GET deribit:person:1", "GET cryptomarket:latest", "PUBLISH cryptomarket:bus:0 1"]
        forbidden += ["SET cryptomarket:wanted []", "DEL cryptomarket:wanted"]
    async with redis_with_accounts(tmp_path) as server:
        async with Redis.from_url(account_url(server, account)) as redis:
            assert await redis.set("cryptomarket:celery:x", "1")
            for command in forbidden:
                with pytest.raises(NoPermissionError):
                    await redis.execute_command(*command.split())
        async with Redis.from_url(server.url) as anonymous:
            with pytest.raises(Exception, match=r"(?i)authenticat"):
                await anonymous.get("cryptomarket:celery:x")
