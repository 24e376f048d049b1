"""Many log-ins at once: each ends well or is told, none waits behind failures of others, none is lost in silence."""

import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.fernet import Fernet

from cryptomarket.errors import NoLeader
from cryptomarket.model import LoginsWaiting, SessionChanged
from cryptomarket.persons import login_queue
from cryptomarket.persons.cache.memory import MemoryCache
from cryptomarket.persons.leader_requests import LeaderReply, LoginRequest, Place
from cryptomarket.persons.login_flow import GONE
from cryptomarket.persons.login_queue import LoginQueue
from cryptomarket.persons.login_secrets import KEY, MAX_SECRET_SECONDS, SECRET_SECONDS, LoginSecrets
from cryptomarket.persons.notifications import LoginFailures
from cryptomarket.persons.vault import Vault
from cryptomarket.persons.waiting_logins import RESTARTS, TOO_MANY, WaitingLogins
from tests.cluster.nodes import running_cluster
from tests.processes import eventually
from tests.reader import reading
from tests.redis_server import running_redis

from .crowd import Crowd, accounts
from .login_crowd import CROWD_SETTINGS, CrowdReport, crowd_logs_in, log_in_at_once
from .site import ADA, PersonSite, connection_event, running_persons
from .test_vault import Clock

WRONG_KEY = "the exchange does not accept this key: check the client id and the secret"


class Flow:
    """Logs in when the test lets it, and notes the order."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.refused: dict[str, str] = {}
        self.going = anyio.Event()

    async def log_in(self, request: LoginRequest) -> bool:
        """Serve a login when the test lets it."""
        await self.going.wait()
        self.served.append(request.login_id)
        return True

    async def refuse(self, request: LoginRequest, reason: str) -> None:
        """Note the reason."""
        self.refused[request.login_id] = reason


class Line:
    """The leader's line over a memory cache and a clock that the test moves."""

    def __init__(self, *, lasting: bool = True) -> None:
        key = Fernet.generate_key().decode()
        self.clock = Clock()
        self.flow = Flow()
        self.published: list[LoginsWaiting] = []
        self.vault = Vault(lambda: (key,), wall=self.clock)
        self.secrets = LoginSecrets(MemoryCache(), self.vault)
        self.logins = WaitingLogins(
            self.flow.log_in,
            self.flow.refuse,
            self.secrets,
            failures=self.failures,
            publish=self.published.append,
            most_per_address=1_000,
            lasting=lasting,
            monotonic=self.clock,
            wall=self.clock,
        )

    async def failures(self, groups: Iterable[str]) -> dict[str, int]:
        """Nobody failed."""
        return dict.fromkeys(groups, 0)

    def requests(self, count: int, spread: float = 0.0) -> list[LoginRequest]:
        """Logins accepted one after the other, ``spread`` seconds apart, the last now."""
        start = self.clock.now - spread * count
        return [LoginRequest(f"l{n:04}", f"s{n}", "client", "192.0.2.1", start + spread * n) for n in range(count)]


async def test_d8_the_place_is_the_time_of_acceptance() -> None:
    """Logins that nodes repeat to a new leader in any order are served in the order in which they were accepted."""
    line = Line()
    requests = line.requests(60, spread=0.1)
    for request in sorted(requests, key=lambda one: one.login_id[::-1]):
        assert list((await line.logins.add([request])).waiting) == [request.login_id]
    async with anyio.create_task_group() as tasks:
        await tasks.start(line.logins.run)
        line.flow.going.set()
        with anyio.fail_after(30):
            while len(line.flow.served) < 60:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert line.flow.served == [request.login_id for request in requests]
    assert await line.logins.add(requests) == LeaderReply()  # all have ended, and are not served again


async def test_d8_who_cannot_be_served_in_time_is_told_at_once() -> None:
    """A login that would wait longer than its secret may live is refused; one that must wait is told its place."""
    line = Line()
    requests = line.requests(1_000)
    reply = await line.logins.add(requests)
    assert len(reply.waiting) == 7 * (MAX_SECRET_SECONDS - SECRET_SECONDS)
    assert next(place for place in reply.waiting.values() if place) == Place(36, 6)
    assert set(reply.refused) == {request.login_id for request in requests} - set(reply.waiting)
    assert not line.flow.refused  # the node that asked answers the request


async def test_d8_a_login_that_meets_the_end_of_its_only_process_is_told() -> None:
    """Without Redis nobody would serve it any more; with Redis the next leader does."""
    alone, one_of_many = Line(lasting=False), Line()
    for line in (alone, one_of_many):
        await line.logins.finish()
    assert await alone.logins.add(alone.requests(2)) == LeaderReply()
    assert alone.flow.refused == {"l0000": RESTARTS, "l0001": RESTARTS}
    assert len((await one_of_many.logins.add(one_of_many.requests(2))).waiting) == 2


async def test_an_unreadable_reply_of_the_leader_is_no_reply() -> None:
    """The login is repeated, and the node goes on: the leader may be of another version."""
    line, requests, sent = Line(), list[bytes](), list[SessionChanged]()

    async def request_leader(body: bytes, /, *, seconds: float) -> bytes:
        requests.append(body)
        return b'{"waiting":1}' if len(requests) == 1 else b'{"waiting":{}}'

    failures = LoginFailures(MemoryCache(), line.vault, publish=sent.append)
    queue = LoginQueue(request_leader, line.secrets, failures)
    async with anyio.create_task_group() as tasks:
        await tasks.start(queue.run)
        await queue.submit("l1", "s1", client="client", address="192.0.2.1")
        with anyio.fail_after(10):
            while queue._replied:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert (len(requests), sent) == (2, [])


async def test_d8_an_hour_without_logins_is_no_slow_pace() -> None:
    """After logins long ago, many at once are served, and none is told to wait for what takes seconds."""
    line = Line()
    line.flow.going.set()
    async with anyio.create_task_group() as tasks:
        await tasks.start(line.logins.run)
        for count in (1, 12, 30):
            line.clock.now += 3_600
            assert await line.logins.add(
                [LoginRequest(f"l{count}-{n}", "s", "client", "192.0.2.1", line.clock.now) for n in range(count)]
            )
            with anyio.fail_after(30):
                while len(line.logins) or len(line.flow.served) < sum(n for n in (1, 12, 30) if n <= count):
                    await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert (line.flow.refused, line.published) == ({}, [])


async def test_d8_places_are_told_while_logins_wait() -> None:
    """All that wait for more than some seconds hear their place, and their secrets may live 120 seconds in all."""
    line = Line()
    requests = line.requests(100)
    absent = requests[20]  # its browser has no stream, so nobody extends its secret
    for request in requests[:20] + requests[21:]:
        await line.secrets._cache.put(KEY % request.login_id, b"extended as long as it may", MAX_SECRET_SECONDS)
    async with anyio.create_task_group() as tasks:
        await tasks.start(line.logins.run)
        await line.logins.add(requests)
        with anyio.fail_after(30):
            while not line.published:
                await anyio.sleep(0.01)
        first = line.published[0].logins
        assert [login.place for login in first] == list(range(28, 93))  # 8 are in progress, 27 have not long to wait
        assert first[-1].seconds == 15
        assert {login.life_seconds for login in first} == {SECRET_SECONDS}
        line.clock.now += 110
        with anyio.fail_after(30):
            while len(line.published) < 2 or absent.login_id not in line.flow.refused:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    second = line.published[1].logins
    assert [login.place for login in second][:2] == [1, 2]
    assert {login.life_seconds for login in second} == {MAX_SECRET_SECONDS - 110}
    assert line.flow.refused.pop(absent.login_id) == GONE
    assert set(line.flow.refused.values()) == {TOO_MANY}  # those at the end of the line


async def test_d8_a_new_leader_finds_the_logins_of_a_dead_node() -> None:
    """The requests are in the cache until they end, so a leader serves them without hearing of them from a node."""
    line = Line()
    for request in line.requests(3):
        await line.secrets.put_request(request)
    async with anyio.create_task_group() as tasks:
        await tasks.start(line.logins.run)
        line.flow.going.set()
        with anyio.fail_after(30):
            while len(line.flow.served) < 3:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert [request async for request in line.secrets.requests()] == []


async def test_d8_a_secret_lives_on_only_while_it_is_extended() -> None:
    """Extended, it can be taken after its 15 seconds; a secret that expired does not come back."""
    clock, key = Clock(), Fernet.generate_key().decode()
    secrets = LoginSecrets(MemoryCache(monotonic=clock), Vault(lambda: (key,), wall=clock))
    kept, left = [await secrets.put(name, bytearray(b"secret")) for name in ("kept", "left")]
    for _ in range(8):
        clock.now += 10
        await secrets.extend({kept: SECRET_SECONDS})
    await secrets.extend({left: SECRET_SECONDS})
    assert await secrets.take(left) is None
    assert await secrets.take(kept) == ("kept", bytearray(b"secret"))


async def waiting(site: PersonSite, count: int) -> None:
    """Wait until so many logins are in the line."""
    statistics: Any = site.gateway.status.statistics
    await eventually(lambda: statistics()["persons"]["waiting"] >= count, "the crowd came")


@pytest.mark.system
@pytest.mark.parametrize("wrong", [0, 60])
async def test_d8_a_crowd_logs_in(tmp_path: Path, wrong: int) -> None:
    """Of 120 at once all end, at the pace of the exchange, and who waits hears about it at least every 10 seconds."""
    async with running_redis(tmp_path) as redis:
        report = await crowd_logs_in(tmp_path, 120, wrong, redis.url)
    print(report.text())
    assert report.outcomes == {"logged in": 120 - wrong} | ({WRONG_KEY: wrong} if wrong else {})
    assert not report.refused
    assert len(report.places) >= 60
    assert all(one == sorted(one, reverse=True) for one in report.places)
    assert report.silence < 10
    if not wrong:
        assert 6 < report.rate < 8


@pytest.mark.system
async def test_d8_failures_of_others_delay_nobody(tmp_path: Path) -> None:
    """After 130 failures, which once delayed everybody by a minute, the next person logs in at once."""
    persons, report = accounts(130), CrowdReport()
    async with running_persons(tmp_path, accounts=[*persons, ADA], **CROWD_SETTINGS) as site:
        await log_in_at_once([Crowd(site.url)], persons, report, range(130))
        assert report.outcomes == {WRONG_KEY: 130}
        browser = await site.browser()
        async with browser.stream() as tab:
            started = time.monotonic()
            await browser.log_in(ADA)
            await connection_event(tab, "person")
            assert time.monotonic() - started < 2


@pytest.mark.system
async def test_d8_without_a_stream_a_login_gives_up_its_place(tmp_path: Path) -> None:
    """Who closes the page while waiting is not logged in: the secret expires, and no call is made."""
    persons, report = accounts(150), CrowdReport()
    async with running_persons(tmp_path, accounts=[*persons, ADA], **CROWD_SETTINGS) as site:
        absent = await site.browser()

        async def late() -> None:
            await waiting(site, 130)
            await absent.log_in(ADA)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late)
            await log_in_at_once([Crowd(site.url)], persons, report)
        assert report.outcomes == {"logged in": 150}
        async with absent.stream() as tab:
            assert "took too long" in (await connection_event(tab, "login_failed"))["reason"]
        assert (await absent.me()).status_code == 401


@pytest.mark.system
async def test_d8_a_stop_without_redis_tells_those_who_wait(tmp_path: Path) -> None:
    """Their secrets end with the process, so they are told to try again; those in progress log in."""
    persons, report = accounts(60), CrowdReport()
    async with running_persons(tmp_path, accounts=persons, **CROWD_SETTINGS) as site:

        async def stop() -> None:
            await waiting(site, 40)
            await site.gateway.drain()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop)
            await log_in_at_once([Crowd(site.url)], persons, report)
    assert report.outcomes["logged in"] + report.outcomes[RESTARTS] == 60
    assert report.outcomes[RESTARTS] > 30


@pytest.mark.system
@pytest.mark.parametrize(("by", "least"), [(signal.SIGKILL, 105), (signal.SIGTERM, 120)])
async def test_d8_a_leader_that_ends_loses_no_login(tmp_path: Path, by: signal.Signals, least: int) -> None:
    """Of three nodes that accepted logins the leader ends: those that wait keep their place, the others are told.

    Killed, it takes the secrets of the logins in progress with it; stopped, it finishes these.
    """
    persons, report = accounts(120), CrowdReport()
    database = f"sqlite+aiosqlite:///{tmp_path / 'history.db'}"
    async with running_cluster(tmp_path, database, 3, accounts=persons, **CROWD_SETTINGS) as cluster:
        leader = await cluster.leader()
        nodes = [Crowd(node.url) for node in cluster.nodes]
        others = [Crowd(node.url) for node in cluster.nodes if node is not leader]

        async def end() -> None:
            while report.answered < len(persons):
                await anyio.sleep(0.05)
            await anyio.sleep(1)
            leader.signal(by)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            await log_in_at_once(others, persons, report, accepting=nodes)
    print(report.text())
    assert report.lost == 0
    assert report.outcomes["logged in"] >= least
    assert sum(report.outcomes.values()) + sum(report.refused.values()) == 120


async def test_d8_a_login_without_any_leader_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader that accepted a login and died without a successor: the node tells the browser after its 15 seconds."""
    monkeypatch.setattr(login_queue, "UNANSWERED_SECONDS", 1.0)
    monkeypatch.setattr(login_queue, "REPEAT_SECONDS", 0.5)
    monkeypatch.setattr("cryptomarket.persons.waiting_logins.FINISH_SECONDS", 0.1)
    async with running_persons(tmp_path) as site:
        site.exchange.inject("unanswered", "public/auth")
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            await anyio.sleep(0.2)

            async def no_leader(body: bytes, /, *, seconds: float) -> bytes:
                raise NoLeader("no reply")

            monkeypatch.setattr(site.gateway.persons.login_queue, "_request_leader", no_leader)
            assert "nobody could take" in (await connection_event(tab, "login_failed"))["reason"]
            assert not [name async for name in site.gateway.persons.sessions._cache.names("deribit:login:")]


@pytest.mark.system
async def test_d8_a_crowd_does_not_stop_what_prices_need(tmp_path: Path) -> None:
    """While log-ins wait, requests over HTTP (catalogue, history), subscriptions and balances are answered."""
    persons, report, seconds = accounts(150), CrowdReport(), dict[str, float]()
    async with running_persons(tmp_path, accounts=[*persons, ADA], **CROWD_SETTINGS) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            await connection_event(tab, "person")

        async def need() -> None:
            await waiting(site, 120)
            begun = time.monotonic()
            assert (await browser.client.get("/api/v1/persons/me/account")).status_code == 200
            seconds["balances"] = time.monotonic() - begun
            async with reading(f"{site.url}/sse/?timer=0&channels=sol_usd") as stream:
                await stream.next("sol_usd")
            seconds["ticker"] = time.monotonic() - begun
            await site.gateway._http_client.tickers()
            seconds["catalogue"] = time.monotonic() - begun

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(need)
            await log_in_at_once([Crowd(site.url)], persons, report)
    assert report.outcomes == {"logged in": 150}
    assert seconds["balances"] < 2
    assert seconds["ticker"] < 5
    assert seconds["catalogue"] < 10
