"""The cookbook's pieces, run as they are written there, against the demo that it names."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from playwright.async_api import Page, expect

from .browser.chromium import chromium

pytestmark = pytest.mark.system

COOKBOOK = Path(__file__).parents[1] / "docs" / "cookbook.md"
HOST = "http://127.0.0.1:8000"
PIECE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRICE = r"\d+\.\d+"


@dataclass
class Kitchen:
    """A demo, and a page elsewhere that may show its prices."""

    demo: str
    elsewhere: str
    page: list[bytes]
    folder: Path

    def piece(self, language: str, words: str) -> str:
        """The one piece in that language that holds the words, for this demo."""
        (found,) = [text for kind, text in PIECE.findall(COOKBOOK.read_text()) if kind == language and words in text]
        return str(found).replace(HOST, self.demo).replace(HOST.partition("//")[2], self.demo.partition("//")[2])

    def run(self, *command: str, lines: int = 1_000) -> list[str]:
        """The first lines that a program prints; it is ended when it has printed so many."""
        direct = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=direct) as process:
            ending = threading.Timer(60, process.kill)
            ending.start()
            found = []
            assert process.stdout is not None
            for line in process.stdout:
                found.append(line.rstrip("\n"))
                if len(found) == lines:
                    break
            if len(found) == lines:
                process.kill()
            code = process.wait()
            ending.cancel()
        assert code in (0, -9)
        return found


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    """One demo for all pieces, once its history is written."""
    page = [b""]

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page[0])

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    elsewhere = f"http://127.0.0.1:{server.server_port}"
    folder = tmp_path_factory.mktemp("kitchen")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOMARKET_")}
    settings = {"CRYPTOMARKET_ALLOWED_ORIGINS": elsewhere, "CRYPTOMARKET_LOG_FORMAT": "json"}
    log = folder / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "cryptomarket", "demo", "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, env={**kept, **settings}, stdout=file, stderr=file)
    try:
        url = said(log, process, "serving")["url"]
        said(log, process, "simulated history written")
        yield Kitchen(url.rstrip("/"), elsewhere, page, folder)
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()


def said(log: Path, process: subprocess.Popen[bytes], event: str) -> dict[str, Any]:
    """The line of the log, once it is there."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}") and (found := json.loads(line))["event"] == event:
                return dict(found)
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@asynccontextmanager
async def shown(kitchen: Kitchen, html: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page of another site with that content, and what its scripts write to the console."""
    icon = '<!doctype html><html lang="en"><title>elsewhere</title><link rel="icon" href="data:,">'
    kitchen.page[0] = (icon + html).encode()
    async with chromium(kitchen.elsewhere) as window:
        window.allowed_origins = (kitchen.demo,)
        written: list[str] = []
        window.context.on("console", lambda message: written.append(message.text))
        yield await window.open(), written


async def test_the_elements_show_prices(kitchen: Kitchen) -> None:
    """A price and a chart, on a page of another site."""
    async with shown(kitchen, kitchen.piece("html", "crypto-price")) as (page, _):
        await expect(page.locator("crypto-price .number")).to_have_text(re.compile(r"[\d,]+\.\d\d"))
        await expect(page.locator("crypto-chart .line").first).to_be_visible()


@pytest.mark.parametrize("words", ["CryptoMarketStream", "new EventSource"])
async def test_the_scripts_hear_prices(kitchen: Kitchen, words: str) -> None:
    """With our class, and with nothing but the browser's own."""
    html = f'<script type="module">{kitchen.piece("js", words)}</script>'
    async with shown(kitchen, html) as (page, written):
        await page.wait_for_event(
            "console", lambda one: re.fullmatch(f"btc_usd {PRICE}", one.text) is not None, timeout=30_000
        )
        assert written


def test_python_reads_the_stream(kitchen: Kitchen) -> None:
    """Each tick with its moment and every digit."""
    found = kitchen.run(sys.executable, "-W", "error", "-c", kitchen.piece("python", "EventSource"), lines=5)
    assert all(re.fullmatch(rf"\d{{13}} {PRICE}", line) for line in found), found
    assert len(found) == 5


def test_python_reads_the_history(kitchen: Kitchen) -> None:
    """Thirty days of it, over several pages."""
    (line,) = kitchen.run(sys.executable, "-W", "error", "-c", kitchen.piece("python", "def stored"))
    found = re.fullmatch(rf"(\d+) prices, the last {PRICE}", line)
    assert found
    assert int(found[1]) > 40_000


def test_python_reads_a_refusal(kitchen: Kitchen) -> None:
    """The nearest name is in it."""
    (line,) = kitchen.run(sys.executable, "-W", "error", "-c", kitchen.piece("python", "problem"))
    assert line.startswith("404 ")
    assert "did you mean btc_usd" in line


def test_curl_reads_the_stream(kitchen: Kitchen) -> None:
    """Its first lines are the promise to come back, an id, a name and a price."""
    found = kitchen.run("sh", "-ec", kitchen.piece("sh", "timer=1&channels"), lines=8)
    assert any(line.startswith('data: {"ticker":"btc_usd","price":') for line in found), found


def test_curl_asks_the_api(kitchen: Kitchen) -> None:
    """The newest price, a day of candles, a file."""
    found = "".join(kitchen.run("sh", "-ec", kitchen.piece("sh", "prices/latest")))
    assert re.match(rf'\{{"ticker":"btc_usd","price":{PRICE},', found)
    assert found.count('"open":') == 24
    assert len((kitchen.folder / "prices.csv").read_text().splitlines()) > 40_000


def test_curl_logs_in(kitchen: Kitchen) -> None:
    """The outcome on the stream, the account, and out again."""
    found = "\n".join(kitchen.run("sh", "-ec", kitchen.piece("sh", "persons/login")))
    assert '"username":"demo"' in found
    assert '"currency":"BTC"' in found
    assert not (kitchen.folder / "key.json").exists()


def test_prometheus_finds_the_numbers(kitchen: Kitchen) -> None:
    """The address of the scrape configuration answers in its form."""
    (job,) = yaml.safe_load(kitchen.piece("yaml", "scrape_configs"))["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    answer = httpx2.get(f"http://{target}/metrics", timeout=30)
    assert "cryptomarket_streams" in answer.text


def test_grafana_finds_the_prices(kitchen: Kitchen) -> None:
    """The panel's query is to an allowed host, and every column it selects is in the answer."""
    (source,) = yaml.safe_load(kitchen.piece("yaml", "datasources"))["datasources"]
    query = json.loads(kitchen.piece("json", "root_selector"))
    assert query["url"].startswith(tuple(source["jsonData"]["allowedHosts"]))
    now = int(time.time() * 1000)
    url = query["url"].replace("${__from}", str(now - 86_400_000)).replace("${__to}", str(now))
    rows = httpx2.get(url, timeout=30).json()[query["root_selector"]]
    assert len(rows) > 250
    assert all(column["selector"] in row for row in rows for column in query["columns"])


def test_tradingview_is_given_what_it_asks_for(kitchen: Kitchen) -> None:
    """Symbol and interval of the widget are ones that the datafeed has; the library itself is not public."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    stand_ins = """
        const TradingView = { widget: class { constructor(options) { console.log(JSON.stringify(options)); } } };
        const Datafeeds = { UDFCompatibleDatafeed: class { constructor(address) { this.address = address; } } };
    """
    (line,) = kitchen.run(node, "-e", stand_ins + kitchen.piece("js", "TradingView"))
    options = json.loads(line)
    feed = options["datafeed"]["address"]
    symbol = httpx2.get(f"{feed}/symbols", params={"symbol": options["symbol"]}, timeout=30).json()
    assert symbol["ticker"] == options["symbol"]
    assert options["interval"] in httpx2.get(f"{feed}/config", timeout=30).json()["supported_resolutions"]
