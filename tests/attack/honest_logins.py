"""Honest log-ins: one a second, each from its own address and browser, and what each was told."""

import asyncio
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptomarket.simulator.accounts import SimulatedAccount

from .attacker import request
from .honest_requests import answer, percentile

__all__ = ["LoginReport", "log_in_each_second"]

#: A log-in must have ended by then, or have been told at once that log-in is overloaded.
IN_TIME_SECONDS = 5.0
AT_ONCE_SECONDS = 2.0
#: Waited for an outcome, to tell a late one from none.
MOST_SECONDS = 40.0
NETWORK = "127.4"
OVERLOADED = (429, 503)

_COOKIE = re.compile(rb"set-cookie: (cryptomarket_session=[^;\r]+)", re.IGNORECASE)
_OUTCOME = re.compile(rb'\{"kind":"(?:person|login_failed)"[^\n]*\}')


@dataclass
class LoginReport:
    """The outcomes; ``seconds`` are those of log-ins that succeeded, from the request to the event."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    in_time: int = 0
    overloaded: int = 0

    @property
    def ended(self) -> int:
        """How many ended, however they did."""
        return sum(self.outcomes.values())

    @property
    def share(self) -> float:
        """The share that succeeded in time, or was told at once that log-in is overloaded."""
        return (self.in_time + self.overloaded) / max(1, self.ended)

    def text(self) -> str:
        """The figures in one line."""
        told = ", ".join(f"{count} {what}" for what, count in self.outcomes.most_common(6))
        return f"{told}; p50 {percentile(self.seconds, 0.5):.2f} s, worst {max(self.seconds, default=0):.2f} s"


async def log_in_each_second(port: int, accounts: Sequence[SimulatedAccount], report: LoginReport) -> None:
    """Log in one account after the other until cancelled; an attempt that is under way then is not counted."""
    async with asyncio.TaskGroup() as logins:
        number = 0
        while True:
            address = f"{NETWORK}.{number // 250 % 250}.{number % 250 + 1}"
            logins.create_task(_log_in(address, port, accounts[number % len(accounts)], report))
            number += 1
            await asyncio.sleep(1)


async def _log_in(address: str, port: int, account: SimulatedAccount, report: LoginReport) -> None:
    try:
        _, page = await answer(address, port, request("/", "Connection: close"))
        cookie = _COOKIE.search(page)
        if cookie is None:
            report.outcomes["page without a cookie"] += 1
            return
        credentials = {"client_id": account.client_id, "client_secret": account.client_secret}
        headers = ("Content-Type: application/json", "Connection: close")
        body = json.dumps(credentials).encode()
        began = time.monotonic()
        cookies = f"Cookie: {cookie[1].decode()}"
        raw = request("/api/v1/persons/login", *headers, cookies, method="POST", body=body)
        status, accepted = await answer(address, port, raw)
        taken = time.monotonic() - began
        if status != 202:
            report.outcomes[f"answered {status}"] += 1
            report.overloaded += status in OVERLOADED and taken < AT_ONCE_SECONDS
            return
        if b'"place":' in accepted and taken < AT_ONCE_SECONDS:
            report.outcomes["told its place"] += 1
            report.overloaded += 1
            return
        fresh = _COOKIE.search(accepted) or cookie
        event = await _outcome(address, port, fresh[1].decode(), began)
    except (OSError, TimeoutError) as exc:
        report.outcomes[type(exc).__name__] += 1
        return
    _count(event, time.monotonic() - began, report)


def _count(event: dict[str, Any] | None, taken: float, report: LoginReport) -> None:
    if event is None:
        report.outcomes["no outcome"] += 1
    elif event["kind"] == "person":
        report.outcomes["logged in"] += 1
        report.seconds.append(taken)
        report.in_time += taken <= IN_TIME_SECONDS
    else:
        report.outcomes[f"failed: {event['reason']}"] += 1
        report.overloaded += event["reason"].startswith("too many log-ins") and taken < AT_ONCE_SECONDS


async def _outcome(address: str, port: int, cookie: str, began: float) -> dict[str, Any] | None:
    """Open a stream and read it until the log-in ends; None when it was closed or said nothing."""
    loop, connection = asyncio.get_running_loop(), socket.socket()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(began + MOST_SECONDS - time.monotonic()):
            connection.bind((address, 0))
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, request("/sse/?timer=3600", f"Cookie: {cookie}"))
            received = b""
            while chunk := await loop.sock_recv(connection, 65_536):
                received += chunk
                if found := _OUTCOME.search(received):
                    return dict(json.loads(found[0]))
        return None
    except TimeoutError:
        return None
    finally:
        connection.close()
