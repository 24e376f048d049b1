"""The examples of the cookbook, run unchanged against a demo."""

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
EXAMPLE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRICE = r"\d+\.\d+"


@dataclass
class Demo:
    """A running demo, and a page of an allowed origin that embeds its prices."""

    url: str
    elsewhere: str
    page: list[bytes]
    folder: Path

    def example(self, language: str, words: str) -> str:
        """Return the one example in the language that contains the words, with the URL of this demo."""
        (found,) = [text for kind, text in EXAMPLE.findall(COOKBOOK.read_text()) if kind == language and words in text]
        return str(found).replace(HOST, self.url).replace(HOST.partition("//")[2], self.url.partition("//")[2])

    def run(self, *command: str, lines: int = 1_000) -> list[str]:
        """Run a program until it has printed ``lines`` lines; return them."""
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
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all examples, with a complete history."""
    page = [b""]

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page[0])

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    elsewhere = f"http://127.0.0.1:{server.server_port}"
    folder = tmp_path_factory.mktemp("demo")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOMARKET_")}
    settings = {"CRYPTOMARKET_ALLOWED_ORIGINS": elsewhere, "CRYPTOMARKET_LOG_FORMAT": "json"}
    log = folder / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "cryptomarket", "demo", "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, env={**kept, **settings}, stdout=file, stderr=file)
    try:
        url = logged(log, process, "serving")["url"]
        logged(log, process, "simulated history written")
        yield Demo(url.rstrip("/"), elsewhere, page, folder)
    finally:
        process.terminate()
        process.wait(30)
        server.shutdown()
        server.server_close()


def logged(log: Path, process: subprocess.Popen[bytes], event: str) -> dict[str, Any]:
    """Wait for the log line of an event; return it."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and line.endswith("}") and (found := json.loads(line))["event"] == event:
                return dict(found)
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@asynccontextmanager
async def shown(demo: Demo, html: str) -> AsyncIterator[tuple[Page, list[str]]]:
    """Open a page of another site with this content; yield it and what its scripts write to the console."""
    icon = '<!doctype html><html lang="en"><title>elsewhere</title><link rel="icon" href="data:,">'
    demo.page[0] = (icon + html).encode()
    async with chromium(demo.elsewhere) as window:
        window.allowed_origins = (demo.url,)
        written: list[str] = []
        window.context.on("console", lambda message: written.append(message.text))
        yield await window.open(), written


async def test_the_elements_show_prices(demo: Demo) -> None:
    """The elements show a price and a chart on a page of another site."""
    async with shown(demo, demo.example("html", "crypto-price")) as (page, _):
        await expect(page.locator("crypto-price .number")).to_have_text(re.compile(r"[\d,]+\.\d\d"))
        await expect(page.locator("crypto-chart .line").first).to_be_visible()


@pytest.mark.parametrize("words", ["CryptoMarketStream", "new EventSource"])
async def test_the_scripts_receive_prices(demo: Demo, words: str) -> None:
    """The example with our class and the one with EventSource write prices to the console."""
    html = f'<script type="module">{demo.example("js", words)}</script>'
    async with shown(demo, html) as (page, written):
        await page.wait_for_event(
            "console", lambda one: re.fullmatch(f"btc_usd {PRICE}", one.text) is not None, timeout=30_000
        )
        assert written


def test_python_reads_the_stream(demo: Demo) -> None:
    """The example prints each tick with its timestamp and every digit."""
    found = demo.run(sys.executable, "-W", "error", "-c", demo.example("python", "EventSource"), lines=5)
    assert all(re.fullmatch(rf"\d{{13}} {PRICE}", line) for line in found), found
    assert len(found) == 5


def test_python_reads_the_history(demo: Demo) -> None:
    """The example reads thirty days over several pages."""
    (line,) = demo.run(sys.executable, "-W", "error", "-c", demo.example("python", "def stored"))
    found = re.fullmatch(rf"(\d+) prices, the last {PRICE}", line)
    assert found
    assert int(found[1]) > 40_000


def test_python_reads_an_error(demo: Demo) -> None:
    """The problem document suggests the nearest ticker."""
    (line,) = demo.run(sys.executable, "-W", "error", "-c", demo.example("python", "problem"))
    assert line.startswith("404 ")
    assert "did you mean btc_usd" in line


def test_curl_reads_the_stream(demo: Demo) -> None:
    """The first lines of the stream contain a price."""
    found = demo.run("sh", "-ec", demo.example("sh", "channels=btc_usd"), lines=8)
    assert any(line.startswith('data: {"ticker":"btc_usd","price":') for line in found), found


def test_curl_reads_the_fields_of_an_instrument(demo: Demo) -> None:
    """The first lines of the stream contain a price with both groups."""
    found = demo.run("sh", "-ec", demo.example("sh", "fields=quote,funding"), lines=12)
    prices = [line for line in found if line.startswith('data: {"ticker":"BTC-PERPETUAL",')]
    assert re.search(rf'"bid_amount":{PRICE},.*"funding":{{"current_funding":-?{PRICE},', prices[0]), found


def test_curl_reads_the_api(demo: Demo) -> None:
    """The examples return the newest price, a day of candles and a CSV file."""
    found = "".join(demo.run("sh", "-ec", demo.example("sh", "prices/latest")))
    assert re.match(rf'\{{"ticker":"btc_usd","price":{PRICE},', found)
    assert found.count('"open":') == 24
    assert len((demo.folder / "prices.csv").read_text().splitlines()) > 40_000


def test_curl_logs_in(demo: Demo) -> None:
    """The examples receive the outcome on the stream, read the account and log out."""
    found = "\n".join(demo.run("sh", "-ec", demo.example("sh", "persons/login")))
    assert '"username":"demo"' in found
    assert '"currency":"BTC"' in found
    assert not (demo.folder / "key.json").exists()


def test_prometheus_finds_the_metrics(demo: Demo) -> None:
    """The URL of the scrape configuration returns metrics."""
    (job,) = yaml.safe_load(demo.example("yaml", "scrape_configs"))["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    answer = httpx2.get(f"http://{target}/metrics", timeout=30)
    assert "cryptomarket_streams" in answer.text


def test_grafana_finds_the_prices(demo: Demo) -> None:
    """The panel queries an allowed host, and every column that it selects is in the response."""
    (source,) = yaml.safe_load(demo.example("yaml", "datasources"))["datasources"]
    query = json.loads(demo.example("json", "root_selector"))
    assert query["url"].startswith(tuple(source["jsonData"]["allowedHosts"]))
    now = int(time.time() * 1000)
    url = query["url"].replace("${__from}", str(now - 86_400_000)).replace("${__to}", str(now))
    rows = httpx2.get(url, timeout=30).json()[query["root_selector"]]
    assert len(rows) > 250
    assert all(column["selector"] in row for row in rows for column in query["columns"])


def test_the_datafeed_has_what_the_tradingview_widget_requests(demo: Demo) -> None:
    """The datafeed has the widget's symbol and interval; the library itself is not public."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    stand_ins = """
        const TradingView = { widget: class { constructor(options) { console.log(JSON.stringify(options)); } } };
        const Datafeeds = { UDFCompatibleDatafeed: class { constructor(address) { this.address = address; } } };
    """
    (line,) = demo.run(node, "-e", stand_ins + demo.example("js", "TradingView"))
    options = json.loads(line)
    datafeed = options["datafeed"]["address"]
    symbol = httpx2.get(f"{datafeed}/symbols", params={"symbol": options["symbol"]}, timeout=30).json()
    assert symbol["ticker"] == options["symbol"]
    assert options["interval"] in httpx2.get(f"{datafeed}/config", timeout=30).json()["supported_resolutions"]
