"""The ASGI application in this process, under a server that obeys no signal."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
import structlog
from starlette.types import Message

from cryptomarket.app import create_app
from cryptomarket.simulator.exchange import running_exchange
from tests.processes import environment, eventually

from . import factories


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that the application sends to its server, which ignores them."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    return sent


async def test_after_a_failure_every_request_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: list[int]
) -> None:
    """No answer is 200 but that of a stream, which is told to return later; the stop is reported as failed."""
    monkeypatch.setattr("cryptomarket.app.metrics.LoopLag.run", factories.fail_soon)
    stopping, from_app = anyio.Event(), list[str]()
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        if from_app:
            await stopping.wait()
        return {"type": next(events)}

    async def send(message: Message) -> None:
        from_app.append(message["type"])

    async with running_exchange() as exchange, anyio.create_task_group() as tasks:
        urls = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        for name, value in environment(tmp_path, **urls).items():
            if name.startswith("CRYPTOMARKET_"):
                monkeypatch.setenv(name, value)
        app = create_app()
        tasks.start_soon(app, {"type": "lifespan"}, receive, send)
        await eventually(lambda: from_app, "it has started")
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/healthz")).status_code == 200
            await eventually(lambda: signals == [signal.SIGTERM], "it asks its server to stop")
            for path in ("/healthz", "/readyz", "/"):
                assert (await client.get(path)).status_code == 503
            with anyio.fail_after(30):
                stream = await client.get("/sse/")
            assert (stream.status_code, stream.text[:7]) == (200, "retry: ")
        stopping.set()
    assert from_app == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
