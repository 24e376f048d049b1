"""The rate limit of REST: who pays what, who is refused, and who never is."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cryptomarket.web import rate_limit
from cryptomarket.web.rate_limit import BURST_SECONDS, COSTLY_AT_ONCE, RateLimit
from cryptomarket.web.request_cost import BYTES, expected_cost, produced_cost

from .in_process import Answer, ask, full_gateway

RATE = 200.0


class Limited:
    """A limited application whose answers have a given size, and its clock."""

    def __init__(self, size: int = 10, rate: float = RATE) -> None:
        self.size, self.now, self.ran = size, 0.0, 0
        self.app = RateLimit(self._answer, rate, monotonic=lambda: self.now)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ran += 1
        await PlainTextResponse("x" * self.size)(scope, receive, send)

    async def ask(self, path: str = "/api/v1/prices", query: str = "", address: str = "192.0.2.1") -> Answer:
        return await ask(self.app, path, query.encode(), address=address)

    async def accepted(self, most: int, address: str = "192.0.2.1", **request: str) -> int:
        """How many of so many requests in a row are answered."""
        return [(await self.ask(address=address, **request)).status for _ in range(most)].count(200)


async def test_an_address_has_a_burst_and_then_its_rate() -> None:
    limited = Limited()
    assert await limited.accepted(2_000) == pytest.approx(RATE * BURST_SECONDS, rel=0.01)
    refused = await limited.ask()
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    limited.now += 1.0
    assert await limited.accepted(2_000) == pytest.approx(RATE, rel=0.01)


async def test_other_addresses_are_not_concerned_and_a_large_network_is_counted_as_one() -> None:
    limited = Limited()
    await limited.accepted(2_000)
    assert (await limited.ask(address="192.0.2.2")).status == 200
    of_one_network = [await limited.accepted(300, address=f"2001:db8:7:{place:x}::1") for place in range(40)]
    assert of_one_network[0] == 300
    assert sum(of_one_network) < 5 * RATE * BURST_SECONDS


async def test_few_costly_requests_are_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others take turns, small ones and exports do not wait for them; one whose turn does not come is told."""
    running: list[str] = []
    most = 0
    free = anyio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most
        running.append(scope["path"])
        most = max(most, running.count("/api/v1/candles"))
        if scope["query_string"]:
            await free.wait()
        running.remove(scope["path"])
        await PlainTextResponse("x")(scope, receive, send)

    limited = RateLimit(answer, 1e6)
    statuses: list[int] = []

    async def costly() -> None:
        statuses.append((await ask(limited, "/api/v1/candles", b"limit=10000")).status)

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(costly)
        await anyio.wait_all_tasks_blocked()
        assert running == ["/api/v1/candles"] * COSTLY_AT_ONCE
        for path in ("/api/v1/prices", "/api/v1/export.csv"):
            assert (await ask(limited, path)).status == 200
        monkeypatch.setattr(rate_limit, "MOST_WAIT_SECONDS", 0.01)
        late = await ask(limited, "/api/v1/candles", b"limit=10000")
        assert (late.status, late.headers["retry-after"]) == (503, "1")
        free.set()
    assert statuses == [200] * 6
    assert most == COSTLY_AT_ONCE


async def test_health_is_answered_however_deep_an_address_is_in_debt() -> None:
    limited = Limited(size=60_000 * 15, rate=2)
    assert (await limited.ask()).status == 200
    limited.size = 10
    assert (await limited.ask()).status == 429
    assert await limited.accepted(100, path="/healthz") == await limited.accepted(100, path="/readyz") == 100
    assert (await limited.ask()).status == 429


async def test_a_large_answer_is_paid_for_after_it_was_sent() -> None:
    limited = Limited(size=60_000 * 15, rate=2)  # 16 units of the 10 that are there
    assert (await limited.ask()).status == 200
    refused = await limited.ask()
    assert (refused.status, refused.headers["retry-after"]) == (429, "4")
    limited.now += 3.5
    assert (await limited.ask()).status == 200


async def test_rows_that_are_asked_for_are_paid_for_before_and_given_back_when_there_are_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many large requests at once must not all pass because none of them has ended."""
    gate, ran = anyio.Event(), 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal ran
        ran += 1
        await gate.wait()
        await PlainTextResponse("few rows")(scope, receive, send)

    monkeypatch.setattr(rate_limit, "COSTLY_AT_ONCE", 100)
    app = RateLimit(slow, RATE, monotonic=lambda: 0.0)
    statuses: list[int] = []

    async def candles() -> None:
        answer = await ask(app, "/api/v1/candles", b"ticker=btc_usd&limit=10000", address="192.0.2.1")
        statuses.append(answer.status)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(candles)
        await anyio.wait_all_tasks_blocked()
        assert 20 < ran < 40
        assert statuses == [429] * (100 - ran)
        gate.set()
    ran = 0
    assert (await ask(app, "/api/v1/candles", b"limit=10000", address="192.0.2.1")).status == 200


async def test_a_streamed_answer_slows_down_to_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = 0.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    async def pages() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield b"x" * 480_000  # a page of an export of CSV, 8 units

    async def export(scope: Scope, receive: Receive, send: Send) -> None:
        response: Response = StreamingResponse(pages())
        await response(scope, receive, send)

    monkeypatch.setattr("cryptomarket.web.rate_limit.anyio.sleep", sleep)
    app = RateLimit(export, RATE, monotonic=lambda: now)
    answer = await ask(app, "/api/v1/export.csv", address="192.0.2.1", disconnects=False, keep_body=False)
    assert answer.size == 240_000_000
    assert now == pytest.approx(4_000 / RATE - BURST_SECONDS, rel=0.01)
    assert max(pauses) < 1


def test_the_cost_follows_from_the_address_and_the_answer() -> None:
    assert expected_cost("/healthz", "limit=10000") == produced_cost("/readyz", 503, 1_000) == 0
    assert expected_cost("/api/v1/prices", "ticker=btc_usd") == 1
    assert expected_cost("/api/v1/candles", "limit=10000&ticker=x") > 30
    assert expected_cost("/udf/history", "countback=0010000") > 40
    assert expected_cost("/udf/history", "from=0&to=1999999999") > 40
    assert expected_cost("/udf/history", "from=0&to=1999999999&countback=300") < 3
    assert expected_cost("/api/v1/candles", "xlimit=10000&limit=99999999999") == 1
    assert expected_cost("/static/site.css", "v=3") == produced_cost("/static/site.css", 200, 0) == 0.25
    assert expected_cost("/api/v1/export.csv", "") == 15
    assert produced_cost("/api/v1/prices", 404, 0) == 3
    assert produced_cost("/api/v1/candles", 200, BYTES["/api/v1/candles"]) == 2


async def test_of_the_whole_gateway_ordinary_clients_pass_and_greedy_ones_do_not(tmp_path: Path) -> None:
    """Some hundred small requests and page loads pass at once; candles and exports without end do not."""
    async with full_gateway(tmp_path, minutes=3_000) as gateway:
        small = [await ask(gateway.app, "/api/v1/prices/latest", b"ticker=btc_usd") for _ in range(300)]
        files = ("/static/site.css", "/static/board.js", "/static/stream.js", "/static/messages/en.json")
        page = [await ask(gateway.app, path) for path in ("/", *files, "/api/v1/tickers") for _ in range(10)]
        assert {answer.status for answer in small + page} == {200}
        large: list[Answer] = []

        async def candles() -> None:
            large.append(await ask(gateway.app, "/api/v1/candles", b"ticker=btc_usd&limit=10000", address="192.0.2.1"))

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(candles)
        statuses = [answer.status for answer in large]
        assert 60 < statuses.count(429) < 80
        refused = large[statuses.index(429)]
        assert int(refused.headers["retry-after"]) >= 1
        assert "content-security-policy" in refused.headers
        assert b"fewer requests" in refused.body
        for path in ("/healthz", "/sse/"):
            answer = await ask(gateway.app, path, method="HEAD", address="192.0.2.1")
            assert answer.status == 200, path
        assert gateway.refusals.counts()["rate"] == statuses.count(429)


async def test_a_refused_body_closes_the_connection() -> None:
    limited = Limited()
    await limited.accepted(2_000)
    refused = await ask(limited.app, "/api/v1/persons/login", method="POST", body=b"{}", address="192.0.2.1")
    assert (refused.status, refused.headers["connection"]) == (429, "close")


async def test_other_servers_that_do_not_tell_the_address_are_not_limited() -> None:
    limited = Limited()

    async def answer(request: Request) -> int:
        status = 0

        async def send(message: object) -> None:
            nonlocal status
            status = max(status, message.get("status", 0)) if isinstance(message, dict) else 0

        await limited.app(request.scope, request.receive, send)
        return status

    scope: dict[str, object] = {
        "type": "http",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "method": "GET",
        "client": None,
    }
    assert {await answer(Request(scope)) for _ in range(2_000)} == {200}


async def test_refused_streams_cost_little_however_many(tmp_path: Path) -> None:
    """Streams are outside of the rate limit: after some refusals they are not told the nearest names."""
    async with full_gateway(tmp_path, minutes=10) as gateway:
        answers = [await ask(gateway.app, "/sse/", b"channels=BTC-PERPETUA") for _ in range(400)]
        assert {answer.status for answer in answers} == {422}
        hinted = [b"did you mean BTC-PERPETUAL" in answer.body for answer in answers]
        assert hinted[:50] == [True] * 50
        later = sorted(answer.loop_seconds for answer, hint in zip(answers, hinted, strict=True) if not hint)
        assert len(later) > 100
        assert later[len(later) // 2] < 0.005
        heads = [await ask(gateway.app, "/sse/", method="HEAD") for _ in range(50)]
        assert sorted(answer.loop_seconds for answer in heads)[25] < 0.005
