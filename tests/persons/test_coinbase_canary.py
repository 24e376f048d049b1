"""Persons log in at Coinbase through two nodes while parts fail; then Redis, files, logs and responses are searched.

Each log-in begins at one node and returns to the other. The gateways are processes with DEBUG logs and a real Redis.
The memory of the processes is not searched: codes and tokens are texts there, which Python cannot overwrite, and tokens
of persons who are logged in must be in it whenever a call is made.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.processes import Program, running_program
from tests.redis_server import RedisServer, running_redis

from .canary import Canary
from .coinbase import BEGIN, CALLBACK, CLIENT, consent, settings_of

pytestmark = pytest.mark.system

ACCOUNTS = [SimulatedAccount(f"person-{n}", "", f"person{n}@example.com", f"person{n}", n + 1) for n in range(6)]


@dataclass
class Run:
    """Two nodes, the simulated Coinbase, and every secret that was on the way."""

    programs: list[Program]
    urls: list[str]
    coinbase: Exchange
    redis: RedisServer
    secrets: dict[str, bytes] = field(default_factory=dict)
    received: list[bytes] = field(default_factory=list)

    def note_tokens(self) -> None:
        """Every token that was issued."""
        accounts = self.coinbase.state.accounts
        kinds: dict[str, Iterable[str]] = {
            "access": accounts.oauth._access,
            "refresh": accounts.oauth._refresh,
            "bearer": accounts._by_access,
        }
        for kind, tokens in kinds.items():
            self.secrets |= {f"{kind} {number}": text.encode()[:43] for number, text in enumerate(tokens)}


@contextlib.asynccontextmanager
async def running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Run all parts; verifiers are noted where the login server receives them."""
    home, away = folder / "gateways", folder / "redis"
    for path in (home, away):
        path.mkdir()
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(
            running_redis(away, "--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000")
        )
        deribit = await stack.enter_async_context(running_exchange())
        coinbase = await stack.enter_async_context(
            running_exchange(door="coinbase-main", accounts=ACCOUNTS, oauth_client=CLIENT)
        )
        settings: dict[str, object] = {
            **settings_of(coinbase),
            "deribit_ws_url": deribit.ws_url,
            "deribit_http_url": deribit.http_url,
            "redis_url": redis.url,
            "log_level": "debug",
            "logins_per_minute": 1_000,
        }
        programs = [await stack.enter_async_context(running_program(home, "serve", **settings))]
        urls = [await programs[0].url()]
        programs.append(await stack.enter_async_context(running_program(home, "serve", **settings)))
        urls.append(await programs[1].url())
        run = Run(programs, urls, coinbase, redis, {"our secret": CLIENT.client_secret.encode()})
        redeem = coinbase.state.accounts.oauth.redeem

        def noted(client_id: str, code: str, redirect_uri: str, verifier: str) -> object:
            run.secrets[f"verifier {verifier[:6]}"] = verifier.encode()
            return redeem(client_id, code, redirect_uri, verifier)

        monkeypatch.setattr(coinbase.state.accounts.oauth, "redeem", noted)
        async with httpx2.AsyncClient() as client:
            with anyio.fail_after(60):
                while not all([(await client.get(f"{url}/readyz")).status_code == 200 for url in urls]):
                    await anyio.sleep(0.05)
        yield run


async def log_in(run: Run, number: int, *, forged: bool = False, fails: bool = False) -> bool:
    """Begin at one node, return to the other; return whether the person is logged in at both."""
    begins, returns = run.urls[number % 2], run.urls[1 - number % 2]
    async with httpx2.AsyncClient(timeout=20) as browser:
        begun = await browser.get(begins + BEGIN)
        run.received.append(begun.headers["location"].partition("?")[0].encode())
        back = parse_qs(urlsplit(await consent(begun.headers["location"], ACCOUNTS[number])).query)
        run.secrets |= {f"{name} {number}": back[name][0].encode() for name in ("code", "state")}
        code = forged_code(run, number) if forged else back["code"][0]
        returned = await browser.get(returns + CALLBACK, params={"state": back["state"][0], "code": code})
        assert (returned.status_code, returned.headers["location"]) == (303, "/?login=coinbase"), returned.text
        run.received.append(repr(returned.headers.multi_items()).encode() + returned.content)
        for _ in range(10 if fails else 1_000):
            answers = [await browser.get(f"{url}/api/v1/persons/me") for url in run.urls]
            run.received += [answer.content for answer in answers]
            if all(answer.status_code == 200 for answer in answers):
                break
            await anyio.sleep(0.02)
        account = await browser.get(f"{returns}/api/v1/persons/me/account")
        run.received.append(account.content)
        if number % 3 == 2:
            await browser.delete(f"{begins}/api/v1/persons/me")
        return account.status_code == 200


def forged_code(run: Run, number: int) -> str:
    """A code that Coinbase did not issue, to be searched for as well."""
    forged = f"forged-{number}-" + "qW8xK2vL5n" * 3
    run.secrets[f"forged {number}"] = forged.encode()
    return forged


async def test_no_secret_of_coinbase_is_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After log-ins that succeed, fail and break, no code, verifier, state or token is in what is kept or written."""
    async with running(tmp_path, monkeypatch) as run:
        assert [await log_in(run, number) for number in range(4)] == [True] * 4
        assert not await log_in(run, 4, forged=True, fails=True)
        run.coinbase.inject("error", "public/auth:13004")
        assert not await log_in(run, 5, fails=True)
        run.note_tokens()
        assert {re.sub(r"[ ].*", "", name) for name in run.secrets} >= {
            "code", "state", "verifier", "forged", "access", "refresh", "bearer"
        }  # fmt: skip
        canary = Canary(run.secrets)
        assert run.programs[0].logged("person logged in")
        assert run.programs[0].logged("login failed")
        assert canary.scan(b"\n".join(run.received), "responses") == []
        assert await canary.in_redis(run.redis.url) == []
        for program in run.programs:
            assert await program.stop() == 0
        assert canary.in_files(tmp_path) == []
