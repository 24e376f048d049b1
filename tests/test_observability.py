"""The dashboard shows the metrics that are served, and clients cannot forge log lines."""

import json
import random
import re
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import pytest

from .processes import Program, running_program

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "cryptomarket.json"

#: A log line that a client tries to forge.
FORGED = '{"event": "forged", "level": "critical"}'


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def queries() -> list[str]:
    """Return every query of the dashboard's panels and variables."""
    of_choices = [choice["query"]["query"] for choice in dashboard()["templating"]["list"]]
    return of_choices + [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def metrics() -> dict[str, str]:
    """Return the metrics of docs/metrics.md, which another test compares with the served ones, and their types."""
    rows = re.findall(r"^\| `(cryptomarket_\w+)` \| (\w+) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    return {f"{name}_bucket" if kind == "histogram" else name: kind for name, kind in rows}


def test_every_query_has_a_served_metric() -> None:
    """Every query contains a metric, and only metrics that are served."""
    for query in queries():
        names = set(re.findall(r"cryptomarket_\w+", query))
        assert names, query
        assert names <= metrics().keys(), query


def test_every_metric_is_on_the_dashboard() -> None:
    """The queries contain every served metric."""
    assert metrics().keys() - set(re.findall(r"cryptomarket_\w+", " ".join(queries()))) == set()


def test_queries_fit_the_kind_of_their_metric() -> None:
    """A counter is shown by its rate, a gauge by its value, a histogram by a quantile."""
    for query in queries():
        for name in re.findall(r"cryptomarket_\w+", query):
            grows = re.search(rf"(rate|increase)\({name}\b", query)
            assert bool(grows) == (metrics()[name] in ("counter", "histogram")), query
            assert ("histogram_quantile" in query) == name.endswith("_bucket"), query


def test_panels_do_not_overlap() -> None:
    """Panels do not overlap, and each has a title and an id of its own."""
    panels = dashboard()["panels"]
    places = Counter(
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert max(places.values()) == 1
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)


def hostile_requests(seed: int, count: int) -> list[bytes]:
    """Return requests with random bytes in paths, queries and headers."""
    chance = random.Random(seed)
    nasty = [f"%0d%0a{FORGED}", f"\r{FORGED}", f"\x1b[2J{FORGED}", "%00", "\x85", "\u2028", "%1b%5b31m", '"}', "\\"]
    found = []
    for _ in range(count):
        word = chance.choice(nasty) + "".join(chr(chance.randrange(1, 256)) for _ in range(chance.randrange(8)))
        path = chance.choice(["/sse/", "/api/v1/prices", "/api/v1/candles", "/nowhere", "/udf/history"])
        query = f"?{chance.choice(['ticker', 'timer', 'channels', 'start', 'symbol'])}={word}"
        header = chance.choice(["Cookie", "Authorization", "Last-Event-ID", "User-Agent", "Origin", "Accept"])
        target = path + (query if chance.random() < 0.7 else "")
        value = word if chance.random() < 0.7 else "x"
        text = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}: {value}\r\nConnection: close\r\n\r\n"
        found.append(text.encode("utf-8" if "\u2028" in text else "latin-1"))
    return found


def send_request(address: tuple[str, int], request: bytes, *, abort: bool) -> None:
    """Send the bytes; then read the start of the response, or reset the connection."""
    with socket.create_connection(address, timeout=60) as peer:
        if abort:  # close() then resets the connection
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(request)
        if not abort:
            peer.recv(256)


async def log_lines(program: Program) -> list[dict[str, Any]]:
    """Return every line of the log, each of which must be a JSON object."""
    return [dict(json.loads(line)) for line in program.log.splitlines()]


@pytest.mark.system
async def test_clients_cannot_forge_log_lines(tmp_path: Path) -> None:
    """With any bytes in requests each log line is one JSON object with the name of the node."""
    async with running_program(tmp_path, "demo", log_level="debug", node="n1") as program:
        parts = urlsplit(await program.url())
        address = (str(parts.hostname), int(parts.port or 0))

        def send_all() -> None:
            for request in hostile_requests(seed=7, count=300):
                send_request(address, request, abort=False)

        with anyio.fail_after(240):
            await anyio.to_thread.run_sync(send_all)
        assert await program.stop(seconds=60) == 0
        lines = await log_lines(program)
    assert {line["node"] for line in lines} == {"n1"}
    assert "forged" not in {line["event"] for line in lines}
    assert not {line["level"] for line in lines} & {"error", "critical"}


@pytest.mark.system
async def test_a_thousand_aborts_log_few_lines(tmp_path: Path) -> None:
    """Clients that reset their connections cause no errors, and the log does not grow with their number."""
    requests = [
        b"GET /sse/?timer=0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/prices?ticker=btc_usd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/persons/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 500\r\n\r\n{",
        b"GET /sse/ HT",
        b"",
    ]
    async with running_program(tmp_path, "demo") as program:
        url = await program.url()
        parts = urlsplit(url)
        address = (str(parts.hostname), int(parts.port or 0))

        def abort_all() -> None:
            for number in range(1000):
                send_request(address, requests[number % len(requests)], abort=True)

        before = len(await log_lines(program))
        with anyio.fail_after(240):
            await anyio.to_thread.run_sync(abort_all)
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await client.get(f"{url}/healthz")).status_code == 200
        assert await program.stop(seconds=60) == 0
        lines = (await log_lines(program))[before:]
    assert len(lines) < 20, lines
    assert not {line["level"] for line in lines} & {"error", "critical"}
