"""An exchange that deviates from a confirmed statement: verify reports that statement and nothing else."""

from functools import partial
from typing import Any

import anyio
import pytest

from cryptomarket.deribit.auth import Credentials, Secret

from .lying_exchange import Lie, lying_exchange
from .simulated import KEY, PACE, differing, examined, exchange_at_pace, rows_of


def honest(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """Change nothing."""
    return message


def without_us_out(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """Leave the time of the answer out of results."""
    if "result" in message:
        message.pop("usOut", None)
    return message


def other_code(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """Answer a private call without a log-in as the documentation says."""
    if message.get("error", {}).get("code") == 13009:
        message["error"]["code"] = 10000
    return message


def ascending(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """List channels in ascending order."""
    if isinstance(message.get("result"), list):
        message["result"].sort(key=str)
    return message


def more_test_requests(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """Send a test_request instead of each plain heartbeat beside one."""
    if message.get("params", {}).get("type") == "heartbeat":
        message["params"]["type"] = "test_request"
    return message


def empty_changes(message: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    """Send changes of books without a change."""
    data = message.get("params", {}).get("data")
    if isinstance(data, dict) and data.get("type") == "change" and "bids" in data:
        data |= {"bids": [], "asks": []}
    return message


QUICK: list[tuple[Lie, set[str]]] = [
    (honest, set()),
    (without_us_out, {"timing_fields"}),
    (other_code, {"no_token_code"}),
    (ascending, {"descending_order"}),
]


#: Statements whose checks take a moment.
SHORT = frozenset({"timing_fields", "no_token_code", "descending_order", "bad_json_code", "unknown_method_code"})


async def found_with(
    lie: Lie, *, quick: bool, close_code: int | None = None, pace: float = PACE, **plan: Any
) -> set[str]:
    """The statements that differ at a simulated exchange with the lie."""
    async with (
        exchange_at_pace(pace) as exchange,
        lying_exchange(exchange.ws_url, lie, close_code) as url,
    ):
        return set(differing(await rows_of(url, exchange.http_url, quick=quick, pace=pace, **plan)))


@pytest.mark.parametrize(("lie", "expected"), QUICK, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_deviation_is_found(lie: Lie, expected: set[str]) -> None:
    """An honest exchange passes some checks; fields that are missing, other codes and another order are found."""
    assert await found_with(lie, quick=True, only=SHORT) == expected


@pytest.mark.system
async def test_slow_deviations_are_found_and_nothing_else() -> None:
    """At once: a whole run but for long waits at an exchange whose changes of books are empty, which alone is reported.

    A close with another code is found as well.
    """
    found: dict[str, set[str]] = {}

    async def find(name: str, lie: Lie, **options: Any) -> None:
        found[name] = await found_with(lie, **options)

    closing = frozenset({"heartbeat_close_code"})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(find, "books", empty_changes, quick=True))
        tasks.start_soon(partial(find, "closing", honest, quick=False, close_code=1008, only=closing))
    assert found["books"] - {"first_values"} == {"book_change_empty"}
    assert found["closing"] == {"heartbeat_close_code"}


@pytest.mark.system
async def test_another_cadence_of_heartbeats_is_found() -> None:
    """Test_requests that come twice as often as they should are found."""
    found = await found_with(more_test_requests, quick=False, pace=5.0, only=frozenset({"heartbeat_lateness"}))
    assert found >= {"heartbeat_lateness", "heartbeat_beside_test"}


async def test_a_wrong_clock_is_no_deviation() -> None:
    """The exchange's clock may differ from ours: nothing is reported."""
    async with exchange_at_pace(faults=["skew:90"]) as exchange:
        only = frozenset({"time_in_milliseconds", "timing_fields", "first_values", "first_tickers"})
        assert differing(await rows_of(exchange.ws_url, exchange.http_url, quick=True, only=only)) == {}


async def test_a_refused_scope_is_no_deviation_of_nonces() -> None:
    """An exchange that refuses both a scope and a nonce used twice: a log-in is not repeated with the same nonce."""
    switches = ["any_kind_none=false", "nonce_reuse=false"]
    rows = await examined(
        switches=switches, credentials=KEY, quick=True, only=frozenset({"any_kind_none", "nonce_reuse", "empty_nonce"})
    )
    assert set(differing(rows)) == {"any_kind_none", "nonce_reuse"}


async def test_a_wrong_key_is_no_deviation() -> None:
    """A key that the exchange refuses is said, and no difference is reported for it."""
    wrong = Credentials(KEY.client_id, Secret("wrong-secret"))
    async with exchange_at_pace() as exchange:
        only = frozenset({"empty_nonce", "signature_seconds", "grant_fields"})
        rows = await rows_of(exchange.ws_url, exchange.http_url, quick=True, only=only, credentials=wrong)
    assert differing(rows) == {}
    assert {row.seen for row in rows if row.statement.name in only} == {"the exchange refused the API key with 13004"}
