"""Calls of other parts of the program over the one connection."""

from typing import Any

import anyio
import pytest

from cryptomarket.deribit.protocol import UnsafeCall
from cryptomarket.deribit.rate_limit import Priority
from cryptomarket.errors import ExchangeRefused, ExchangeUnreachable

from .following import Follower, Noting, following
from .scripted import SILENT, Refuse, scripted_exchange


async def test_equal_calls_in_flight_are_asked_once() -> None:
    """Ten equal calls share one request and its answer."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        exchange.answers["public/get_time"] = lambda _: 17
        await follower.tick_of("btc_usd")
        results: list[bytes] = []

        async def ask() -> None:
            results.append(bytes(await follower.deribit_client.call("public/get_time")))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
        assert results == [b"17"] * 10
        assert len(exchange.requests_of("public/get_time")) == 1


async def test_a_call_waits_for_the_connection() -> None:
    """A call made while there is no connection is answered on the next one."""
    async with scripted_exchange() as exchange:
        exchange.answers["public/get_time"] = lambda _: 17
        async with following(exchange.url) as follower:
            with anyio.fail_after(30):
                assert bytes(await follower.deribit_client.call("public/get_time")) == b"17"


async def test_a_reading_call_survives_a_broken_connection() -> None:
    """A call that only reads is sent again on the next connection."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")

        def hang_up_first(_: dict[str, Any]) -> Any:
            if len(exchange.requests_of("public/get_time")) == 1:
                exchange.peers[0].transport.abort()
                return SILENT
            return 17

        exchange.answers["public/get_time"] = hang_up_first
        with anyio.fail_after(30):
            assert bytes(await follower.deribit_client.call("public/get_time")) == b"17"
        assert exchange.connections == 2


async def test_a_writing_call_fails_with_its_connection() -> None:
    """A call that may have been carried out is not sent twice."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")

        def hang_up(_: dict[str, Any]) -> Any:
            exchange.peers[0].transport.abort()
            return SILENT

        exchange.answers["private/buy"] = hang_up
        with anyio.fail_after(30), pytest.raises(ExchangeUnreachable):
            await follower.deribit_client.call("private/buy", {"access_token": "x"})
        assert len(exchange.requests_of("private/buy")) == 1


async def test_a_crowded_exchange_gets_fewer_calls_at_once_and_all_are_answered() -> None:
    """10066 loses no call and halves the number of calls in flight."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")

        def crowded_first(_: dict[str, Any]) -> int:
            if len(exchange.requests_of("public/get_time")) == 1:
                raise Refuse(10066, "too_many_concurrent_requests")
            return 17

        exchange.answers["public/get_time"] = crowded_first
        with anyio.fail_after(30):
            assert bytes(await follower.deribit_client.call("public/get_time")) == b"17"
        assert follower.deribit_client.budget.concurrent == 16


async def test_a_refusal_reaches_the_caller_with_its_code() -> None:
    """A wrong request is not repeated."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:

        def refuse(_: dict[str, Any]) -> int:
            raise Refuse(-32602, "Invalid params", {"param": "x", "reason": "wrong format"})

        exchange.answers["public/ticker"] = refuse
        with anyio.fail_after(30), pytest.raises(ExchangeRefused, match="wrong format") as caught:
            await follower.deribit_client.call("public/ticker")
        assert caught.value.code == -32602
        assert len(exchange.requests_of("public/ticker")) == 1


@pytest.mark.parametrize(
    ("method", "params"), [("private/get_positions", {}), ("private/logout", {"access_token": "x"})]
)
async def test_a_call_that_would_act_for_everybody_is_refused_at_once(method: str, params: dict[str, Any]) -> None:
    """UnsafeCall is raised before anything is sent."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        with pytest.raises(UnsafeCall):
            await follower.deribit_client.call(method, params)
        assert exchange.requests_of(method) == []


async def test_the_more_urgent_call_goes_first() -> None:
    """A login overtakes backfill calls that wait for credits, and every call is answered."""
    async with scripted_exchange() as exchange, following(exchange.url) as follower:
        await follower.tick_of("btc_usd")
        exchange.answers["public/get_time"] = lambda params: params["n"]
        await _ask_many(follower, 40)
        order = [params["n"] for params in exchange.requests_of("public/get_time")]
        assert sorted(order) == list(range(41))
        assert order.index(40) < 30


async def test_a_burst_of_calls_keeps_to_the_budget_and_loses_none() -> None:
    """Sixty at once: at most fifteen in any second (here a fifth of one), and an answer for each."""
    budget = Noting(time_scale=5)
    async with scripted_exchange() as exchange, following(exchange.url, budget=budget) as follower:
        await follower.tick_of("btc_usd")
        exchange.answers["public/get_time"] = lambda params: params["n"]
        await _ask_many(follower, 60)
        assert len(exchange.requests_of("public/get_time")) == 61
        times = [now for _, now in budget.taken]
        assert all(later - first >= 0.2 - 1e-6 for first, later in zip(times, times[15:], strict=False))


async def _ask_many(follower: Follower, count: int) -> None:
    async def ask(number: int, priority: Priority) -> None:
        await follower.deribit_client.call("public/get_time", {"n": number}, priority=priority)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(ask, number, Priority.BACKFILL)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(ask, count, Priority.LOGIN)
