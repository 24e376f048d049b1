"""`cryptomarket conformance` as a program: its lines and exit codes."""

import contextlib
import json
from pathlib import Path

import pytest

from tests.benchmarks.peers import Absent
from tests.benchmarks.peers import running as running_peer
from tests.conformance.faulty_server import HEADERS, StreamServer, running
from tests.deribit.proxies import authority
from tests.processes import run_program, running_program

pytestmark = pytest.mark.system


@pytest.mark.parametrize("query", ["?timer=0&channels=btc_usd", "?timer=0", "?timer=0.5", ""])
async def test_a_gateway_holds_every_row(tmp_path: Path, query: str) -> None:
    """Nothing fails on the whole gateway with the simulated exchange, and the exit code is 0."""
    async with running_program(tmp_path, "demo") as program:
        url = await program.url()
        code, out, log = await run_program(tmp_path, "conformance", f"{url}/sse/{query}", "--json")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert [row for row in rows.values() if row["ok"] is False] == []
    assert (code, log) == (0, "")
    assert rows["an event comes while listening"]["ok"]
    if "timer=0&" in query:
        assert {name for name, row in rows.items() if not row["ok"]} == {"no pause is longer than 60 s"}


async def test_a_fault_is_a_line_and_exit_code_1(tmp_path: Path) -> None:
    """A row that fails says FAIL and what was seen; rows that hold say ok."""
    async with running(StreamServer(opening=b"retry: soon\n\n")) as address:
        code, out, log = await run_program(tmp_path, "conformance", address, "--seconds", "1")
    assert (code, log) == (1, "")
    (failed,) = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert failed.split() == ["FAIL", "it", "has", "a", "reconnection", "time", "'soon'"]
    assert sum(line.startswith("ok ") for line in out.splitlines()) > 25


async def test_a_header_commands_no_terminal(tmp_path: Path) -> None:
    """Control characters of the server are not printed, and of a long header only its beginning."""
    hostile = {**HEADERS, "X-Accel-Buffering": "\x1b]0;owned\x07" + "x" * 5000}
    async with running(StreamServer(headers=hostile)) as address:
        code, out, _ = await run_program(tmp_path, "conformance", address, "--seconds", "1")
    assert code == 1
    (failed,) = [line for line in out.splitlines() if line.startswith("FAIL nginx")]
    assert "?]0;owned?xxx" in failed
    assert len(failed) < 300


async def test_nobody_at_the_address_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    """An unreachable address is one sentence without a traceback; an incomplete one is wrong usage."""
    code, out, log = await run_program(tmp_path, "conformance", "http://127.0.0.1:9/sse/")
    assert (code, out) == (1, "")
    assert log.startswith("cryptomarket: no server answers at http://127.0.0.1:9/sse/: ")
    assert len(log.splitlines()) == 1
    code, _, log = await run_program(tmp_path, "conformance", "127.0.0.1:8000/sse/")
    assert code == 2
    assert "Traceback" not in log


async def test_a_stream_with_tls_is_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row holds over TLS when the authority is trusted; otherwise the sentence names the certificate."""
    context, public = authority(tmp_path)
    async with running(StreamServer(), context) as address:
        code, _, log = await run_program(tmp_path, "conformance", address, "--seconds", "1")
        assert code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in log
        monkeypatch.setenv("SSL_CERT_FILE", public)
        code, out, log = await run_program(tmp_path, "conformance", address, "--seconds", "1")
    assert (code, log) == (0, ""), out


async def test_better_sse_fails_only_where_it_differs(tmp_path: Path) -> None:
    """Another program's server holds all rows but one: it never answers HEAD."""
    with contextlib.ExitStack() as stack:
        try:
            peer = stack.enter_context(running_peer("better-sse"))
        except Absent as exc:
            pytest.skip(str(exc))
        peer.rate(20)
        address = f"http://127.0.0.1:{peer.port}/"
        code, out, _ = await run_program(tmp_path, "conformance", address, "--seconds", "1", "--json")
    assert code == 1
    failed = [row["name"] for row in map(json.loads, out.splitlines()) if row["ok"] is False]
    assert failed == ["HEAD is answered as GET, or refused"]
