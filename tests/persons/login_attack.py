"""Wrong logins from many loopback addresses against a gateway, and honest ones beside them.

Run as a program it attacks a gateway process with Redis and prints what the honest ones met.
"""

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import SocketStream
from cryptography.fernet import Fernet

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import running_exchange
from tests.processes import running_program
from tests.redis_server import running_redis

from .crowd import accounts

__all__ = ["Client", "HonestReport", "address", "attack", "honest_login"]

_COOKIE = re.compile(rb"set-cookie: ([^;\r]+)", re.IGNORECASE)
_OUTCOME = re.compile(rb'\{"kind":"(?:person|login_failed)"[^\n]*\}')
#: An honest login is given up after this.
MAX_SECONDS = 130.0
#: The promise: an honest login succeeds within this, or is told at once.
PROMISED_SECONDS = 5.0


def address(number: int, network: int = 1) -> str:
    """A loopback address."""
    return f"127.{network}.{number // 250}.{1 + number % 250}"


@dataclass
class Client:
    """A browser at an address of the loopback network, with its cookie."""

    url: str
    address: str
    cookie: str = ""

    async def _connect(self) -> SocketStream:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return await anyio.connect_tcp(host, int(port), local_host=self.address)

    def _head(self, verb: str, path: str, **headers: str) -> bytes:
        given = {"Host": self.url.removeprefix("http://"), "Cookie": self.cookie, **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
        return "\r\n".join([f"{verb} {path} HTTP/1.1", *lines, "", ""]).encode()

    async def request(self, verb: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request on a new connection; return its status and the whole response. Keeps the cookie."""
        head = self._head(
            verb, path, Connection="close", Content_Type="application/json", Content_Length=str(len(body))
        )
        answer = b""
        async with await self._connect() as stream:
            await stream.send(head + body)
            async for piece in stream:
                answer += piece
        if found := _COOKIE.search(answer):
            self.cookie = found[1].decode()
        return int(answer.split(b" ", 2)[1]), answer

    async def post(self, client_id: str, secret: str) -> tuple[int, bytes]:
        """Post a login; return status and body."""
        body = json.dumps({"client_id": client_id, "client_secret": secret}).encode()
        status, answer = await self.request("POST", "/api/v1/persons/login", body)
        return status, answer.partition(b"\r\n\r\n")[2]

    async def outcome(self) -> dict[str, str]:
        """Open a stream and return the outcome of the login on it."""
        received = b""
        async with await self._connect() as stream:
            await stream.send(self._head("GET", "/sse/?timer=3600"))
            while (found := _OUTCOME.search(received)) is None:
                received += await stream.receive()
        return dict(json.loads(found[0]))


@dataclass
class HonestReport:
    """What honest logins met: seconds until the person, until a login was told to wait, and other outcomes."""

    seconds: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        """The figures in some lines."""
        times, told = sorted(self.seconds), sorted(self.told)
        total = len(times) + len(told) + sum(self.others.values())
        soon = sum(second <= PROMISED_SECONDS for second in times)
        lines = [
            f"{total} honest logins: {soon} succeeded within {PROMISED_SECONDS:g} s, {len(told)} were told at once"
        ]
        if times:
            lines.append(f"success after p50 {times[len(times) // 2]:.2f} s, at most {times[-1]:.2f} s")
        if told:
            lines.append(f"told after p50 {told[len(told) // 2]:.2f} s, at most {told[-1]:.2f} s")
        late = len(times) - soon
        lines += [f"{late} succeeded later, untold"] if late else []
        return "\n".join([*lines, *(f"{count} {what}" for what, count in self.others.items())])


async def honest_login(client: Client, account: SimulatedAccount, report: HonestReport) -> None:
    """Log in as a page does: read the page, post, and open a stream with the cookie that the answer set."""
    await client.request("GET", "/status")
    started = time.monotonic()
    status, body = await client.post(account.client_id, account.client_secret)
    answer = json.loads(body)
    if status == 503 or "place" in answer:
        report.told.append(time.monotonic() - started)
        return
    if status != 202:
        report.others[f"answered {status}"] += 1
        return
    with anyio.move_on_after(MAX_SECONDS) as scope:
        outcome = await client.outcome()
    if scope.cancelled_caught:
        report.others["lost"] += 1
    elif outcome["kind"] == "person":
        report.seconds.append(time.monotonic() - started)
    else:
        report.others[outcome["reason"]] += 1


async def attack(url: str, addresses: int, every_seconds: float, statuses: Counter[int]) -> None:
    """Post wrong logins until cancelled: one of each address in so many seconds, evenly spread."""
    number, started = 0, time.monotonic()
    limit = anyio.CapacityLimiter(200)

    async def one(number: int) -> None:
        client = Client(url, address(number % addresses))
        try:
            with anyio.fail_after(20):
                statuses[(await client.post(f"wrong-{number}", "wrong"))[0]] += 1
        except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.EndOfStream, IndexError):
            statuses[0] += 1
        finally:
            limit.release_on_behalf_of(number)

    async with anyio.create_task_group() as tasks:
        while True:
            await limit.acquire_on_behalf_of(number)
            tasks.start_soon(one, number)
            number += 1
            await anyio.sleep(max(0.0, started + number * every_seconds / addresses - time.monotonic()))


def _cpu_seconds(pid: int) -> float:
    """The time that a process has used of a core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def attacked(
    folder: Path, addresses: int, honest: int, every_seconds: float, warm_up_seconds: float, say: Callable[[str], None]
) -> None:
    """Attack a gateway with Redis; then, and after the warm-up again, one honest login a second."""
    persons, statuses = accounts(honest), Counter[int]()
    async with running_redis(folder) as redis, running_exchange(accounts=persons) as exchange:
        settings = {
            "database_url": f"sqlite+aiosqlite:///{folder / 'x.db'}",
            "deribit_ws_url": exchange.ws_url,
            "deribit_http_url": exchange.http_url,
            "redis_url": redis.url,
            "secret_key": Fernet.generate_key().decode(),
            "port": 0,
            "log_format": "json",
        }
        async with running_program(folder, "serve", **settings) as program, anyio.create_task_group() as tasks:
            url = await program.url()
            started = time.monotonic()
            tasks.start_soon(attack, url, addresses, every_seconds, statuses)
            remaining = iter(enumerate(persons))
            phases = [("from the first second of the attack", honest // 3), ("after that", honest - honest // 3)]
            for phase, count in phases:
                report = HonestReport()
                if phase == "after that":
                    await anyio.sleep(max(0.0, started + warm_up_seconds - time.monotonic()))
                async with anyio.create_task_group() as logins:
                    for _ in range(count):
                        number, person = next(remaining)
                        logins.start_soon(honest_login, Client(url, address(number, 2)), person, report)
                        await anyio.sleep(1.0)
                say(f"{phase}, {time.monotonic() - started:.0f} s after its begin:\n{report.text()}")
            say(f"CPU of the gateway: {_cpu_seconds(program.process.pid):.0f} s")
            say(f"wrong logins answered: {dict(statuses)} in {time.monotonic() - started:.0f} s")
            tasks.cancel_scope.cancel()
        say(f"log: {len(program.log) / 1e6:.2f} MB")


async def _main(addresses: int, honest: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await attacked(Path(folder), addresses, honest, 20.0, 110.0, print)


if __name__ == "__main__":
    anyio.run(_main, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 90)
