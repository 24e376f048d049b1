"""Several worker processes behind one port, with one connection upstream."""

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path

import anyio
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cryptomarket.simulator.exchange import running_exchange
from tests.processes import eventually, run_program, running_program
from tests.reader import reading
from tests.redis_server import running_redis

from .nodes import tick

STREAMS = 40


def alive(pid: int) -> bool:
    """Return whether the process exists."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def children(pid: int) -> list[int]:
    """Return the child processes."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def streams_by_worker(url: str) -> dict[str, float]:
    """Return the number of streams of each worker, which any of them reports."""
    async with httpx2.AsyncClient(timeout=20) as client:
        text = (await client.get(f"{url}/metrics")).text
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        if family.name == "cryptomarket_epoch":
            found.update({sample.labels["node"]: 0 for sample in family.samples})
        if family.name == "cryptomarket_streams":
            for sample in family.samples:
                found[sample.labels["node"]] += int(sample.value)
    return dict(found)


async def test_without_redis_workers_are_refused(tmp_path: Path) -> None:
    """The error names what is missing and the setting."""
    code, _, log = await run_program(tmp_path, "serve", "--workers", "2")
    assert code == 1
    assert "2 workers need Redis" in log
    assert "CRYPTOMARKET_REDIS_URL" in log


async def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """The workers do not share a port with another program."""
    async with running_redis(tmp_path) as redis:
        code, _, log = await run_program(tmp_path, "serve", "--workers", "2", port=redis.port, redis_url=redis.url)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{redis.port}" in log


@pytest.mark.system
async def test_workers_share_a_port_and_one_connection(tmp_path: Path) -> None:
    """Streams spread over the workers, a killed worker is replaced, and a stop ends all processes."""
    async with (
        running_exchange() as exchange,
        running_redis(tmp_path) as redis,
        running_program(
            tmp_path,
            "serve",
            "--workers",
            "2",
            redis_url=redis.url,
            deribit_ws_url=exchange.ws_url,
            deribit_http_url=exchange.http_url,
            max_streams_per_address=1_000,
        ) as program,
    ):
        url = await program.url()
        pids = await eventually(lambda: len(found := children(program.process.pid)) == 2 and found, "two workers")
        await eventually(lambda: program.log.count('"serving"') == 2, "both serve", 60)
        async with contextlib.AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(reading(f"{url}/sse/?timer=0&channels=btc_usd")) for _ in range(STREAMS)
            ]
            for stream in streams:
                await tick(stream)
            with anyio.fail_after(60):
                while sum((spread := await streams_by_worker(url)).values()) != STREAMS or len(spread) != 2:
                    await anyio.sleep(0.2)
            assert min(spread.values()) >= STREAMS // 8  # the kernel spreads by a hash of ports
            os.kill(pids[0], signal.SIGKILL)
            await eventually(lambda: program.log.count('"serving"') == 3, "the replacement serves", 60)
        workers = children(program.process.pid)
        assert len(workers) == 2
        assert await program.stop(seconds=40) == 0, program.log
        assert not any(alive(pid) for pid in [*pids, *workers])


@pytest.mark.system
async def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """After kill -9 of the parent the workers stop."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        addresses = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        async with running_program(tmp_path, "serve", "--workers", "2", redis_url=redis.url, **addresses) as program:
            await program.url()
            await eventually(lambda: program.log.count('"serving"') == 2, "both serve", 60)
            pids = children(program.process.pid)
            program.process.kill()
            await eventually(lambda: not any(alive(pid) for pid in pids), "the workers are gone", 60)
