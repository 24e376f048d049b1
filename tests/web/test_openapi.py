"""Every route of the OpenAPI document under generated requests: no response is a 500, each fits the document."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from .site import NOON, prices, running_site

pytestmark = pytest.mark.system

QUICK = settings(
    max_examples=int(os.environ.get("CRYPTOMARKET_EXAMPLES", "12")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A site with some history, served from a thread of its own."""
    started, stop = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        stored = prices("btc_usd", NOON - 86_400, 1_500) + prices("eth_usd", NOON - 600, 5)
        async with running_site(tmp_path_factory.mktemp("openapi"), stored) as site:
            found.append(site.address)
            started.set()
            await anyio.to_thread.run_sync(stop.wait)

    thread = threading.Thread(target=anyio.run, args=(serve,))
    thread.start()
    assert started.wait(20)
    yield found[0]
    stop.set()
    thread.join(20)


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE])
def test_every_answer_conforms(address: str, mode: schemathesis.GenerationMode) -> None:
    """Responses to valid and invalid parameters of every route fit the document."""
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    paths = set()
    for operation in document.get_all_operations():
        assert isinstance(operation, Ok)
        route = operation.ok()
        if route.path.startswith("/sse/"):
            continue  # a stream does not end; its answers have tests of their own
        if mode is schemathesis.GenerationMode.NEGATIVE and not list(route.iter_parameters()):
            continue  # nothing could be wrong

        @settings(QUICK)
        @given(case=route.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case[Any]) -> None:
            # A moment or a cursor is text to the schema and more to us: a refusal of text is no mistake. The datafeed
            # refuses in its own shape, with 200.
            lenient: list[Any] = [positive_data_acceptance]
            lenient += [negative_data_rejection] if case.path.startswith("/udf/") else []
            case.call_and_validate(excluded_checks=lenient)

        ask()
        paths.add(route.path)
    assert {"/api/v1/prices", "/api/v1/candles", "/api/v1/coverage", "/udf/history"} <= paths
