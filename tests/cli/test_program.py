"""The whole program as a process: its commands, its output, and how it ends."""

import contextlib
import json
import signal
import socket
from decimal import Decimal
from pathlib import Path

import anyio
import httpx2
import pytest

from cryptomarket.app.server import bound_socket
from tests.processes import eventually, run_program, running_program
from tests.reader import exact, reading

pytestmark = pytest.mark.system


async def test_the_demo_shows_moving_prices_without_network(tmp_path: Path) -> None:
    """`cryptomarket demo` serves the page, a stream whose prices move, and a history of thirty days."""
    async with running_program(tmp_path, "demo") as program, httpx2.AsyncClient(timeout=60) as client:
        url = await program.url()
        assert "text/html" in (await client.get(f"{url}/")).headers["content-type"]
        async with reading(f"{url}/sse/?timer=0") as reader:
            with anyio.fail_after(60):
                for ticker in ("btc_usd", "eth_usd"):
                    prices = {exact(await reader.next(ticker))["price"] for _ in range(4)}
                    assert len(prices) > 1
        assert f"The board      {url}/" in program.out
        assert "Log in on the board with the client id demo" in program.out
        await eventually(lambda: program.logged("simulated history written"), "the past is written")
        answer = (await client.get(f"{url}/api/v1/prices", params={"ticker": "btc_usd", "limit": 10_000})).json()
        assert len(answer["data"]) == 10_000
        assert await program.stop() == 0
    assert not list(tmp_path.glob("cryptomarket-demo-*"))


async def test_without_the_exchange_it_logs_one_line_and_keeps_serving(tmp_path: Path) -> None:
    """Without a network each change of state is one log line that names the demo; stream and page work."""
    with bound_socket("127.0.0.1", 0) as closed:
        port = closed.getsockname()[1]
    address = {"deribit_ws_url": f"ws://127.0.0.1:{port}/ws", "deribit_http_url": f"http://127.0.0.1:{port}"}
    async with running_program(tmp_path, "serve", **address) as program:
        url = await program.url()
        async with reading(f"{url}/sse/?timer=1") as reader:
            with anyio.fail_after(60):
                while (await reader.next("connection")).json["state"] != "down":
                    pass
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await client.get(f"{url}/")).status_code == 200
            assert (await client.get(f"{url}/healthz")).status_code == 200
            ready = await client.get(f"{url}/readyz")
            assert ready.status_code == 503
            assert "down" in ready.text
        assert await program.stop() == 0
        told = [line for line in program.log.splitlines() if "cryptomarket demo" in line]
        assert len(told) == 1, program.log
        assert "Traceback" not in program.log


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"port": "many"}, 2, "CRYPTOMARKET_PORT: expected"),
        ({"tickers": "btc usd"}, 2, "CRYPTOMARKET_TICKERS: expected"),
        ({"database_url": "mysql://u:hunter2@h/d"}, 2, "CRYPTOMARKET_DATABASE_URL: expected"),
        ({"database_url": "sqlite+aiosqlite:////nowhere/at/all.db"}, 1, "/nowhere/at/all.db"),
        ({"database_url": "postgresql+asyncpg://u:hunter2@127.0.0.1:1/d"}, 1, "127.0.0.1:1"),
        ({"host": "192.0.2.1"}, 1, "cannot listen on 192.0.2.1"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_a_sentence(
    tmp_path: Path, settings: dict[str, object], code: int, says: str
) -> None:
    """The exit code tells whose fault it is; the sentence names the cause, without traceback and secret."""
    found, out, log = await run_program(tmp_path, "serve", **settings)
    assert (found, out) == (code, "")
    assert says in log
    assert "Traceback" not in log
    assert "hunter2" not in log
    assert len(log.strip().splitlines()) <= 2


async def test_a_port_in_use_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    """A port that is taken is named, with the option that changes it, and the database is not created."""
    with bound_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, log = await run_program(tmp_path, "serve", "--port", str(port))
    assert code == 1
    assert f"127.0.0.1:{port}" in log
    assert "--port" in log
    assert "Traceback" not in log
    assert not list(tmp_path.glob("*.db"))


async def test_a_stop_ends_open_streams_cleanly_and_quickly(tmp_path: Path) -> None:
    """On SIGTERM each stream receives a retry and ends properly, and the exit code is 0."""
    async with running_program(tmp_path, "demo") as program:
        url = await program.url()
        async with reading(f"{url}/sse/?timer=60") as first, reading(f"{url}/sse/?timer=0") as second:
            await first.next("connection")
            await second.next("btc_usd")
            code = await program.stop(signal.SIGTERM)
            assert code == 0
            for reader in (first, second):
                await reader.rest()
                assert reader.ended_cleanly
                assert len(reader.parser.retries) == 2
                assert all(1000 <= retry <= 5000 for retry in reader.parser.retries)
    assert "Traceback" not in program.log


async def test_interrupted_twice_it_quits_at_once(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for the drain window."""
    async with running_program(tmp_path, "demo", drain_seconds=300, max_streams_per_address=1000) as program:
        url = await program.url()
        async with contextlib.AsyncExitStack() as readers:
            for _ in range(300):  # so many that their end takes three seconds
                reader = await readers.enter_async_context(reading(f"{url}/sse/?timer=60"))
                await reader.next("connection")
            program.process.send_signal(signal.SIGINT)
            await eventually(lambda: _refuses(url), "the listener is closed")
            await program.stop(signal.SIGINT)


def _refuses(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


async def test_tail_prints_the_stream_as_json_lines(tmp_path: Path) -> None:
    """`cryptomarket tail --json` prints one object on each line, with exact prices."""
    async with running_program(tmp_path, "demo") as program:
        url = await program.url()
        async with running_program(tmp_path, "tail", "--url", url, "--timer", "0", "--json") as tail:
            await eventually(lambda: tail.out.count("btc_usd") > 2, "three prices are printed")
            await tail.stop(signal.SIGINT)
        lines = [json.loads(line, parse_float=Decimal) for line in tail.out.splitlines()[:3]]
        assert {line["event"] for line in lines} <= {"btc_usd", "eth_usd", "connection"}
        assert "Traceback" not in tail.log


async def test_tail_without_a_gateway_is_an_error(tmp_path: Path) -> None:
    """A wrong address is a sentence, with exit code 1."""
    code, _, log = await run_program(tmp_path, "tail", "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "no gateway at http://127.0.0.1:1" in log
    assert "Traceback" not in log


async def test_doctor_names_what_is_reachable_and_what_is_not(tmp_path: Path) -> None:
    """With a simulated exchange every check passes; without it the exchange fails, with exit code 1."""
    async with running_program(tmp_path, "simulate", "--port", "0") as exchange:
        line = await eventually(lambda: next((x for x in exchange.out.splitlines() if "http://" in x), None), "address")
        ws = next(word for word in line.split() if word.startswith("ws://"))
        http = next(word for word in line.split() if word.startswith("http://"))
        address = {"deribit_ws_url": ws, "deribit_http_url": http}
        code, out, log = await run_program(tmp_path, "doctor", "--json", **address)
        checks = {check["name"]: check for check in map(json.loads, out.splitlines())}
        assert code == 0, out + log
        assert http in checks["exchange"]["says"]
        assert ws in checks["prices"]["says"]
        assert checks["database"]["ok"]
        assert "settings" not in checks
    code, out, _ = await run_program(tmp_path, "doctor", "--json", **address, ticker="btc_usd")
    checks = {check["name"]: check for check in map(json.loads, out.splitlines())}
    assert code == 1
    assert not checks["exchange"]["ok"]
    assert not checks["prices"]["ok"]
    assert "CRYPTOMARKET_TICKER (did you mean CRYPTOMARKET_TICKERS?)" in checks["settings"]["says"]


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["simulate"], ["tail"], ["doctor"]])
async def test_every_command_has_help(tmp_path: Path, command: list[str]) -> None:
    """The program and each command have help, with an example for each."""
    code, out, _ = await run_program(tmp_path, *command, "--help")
    assert code == 0
    assert not command or "Example: cryptomarket" in out
