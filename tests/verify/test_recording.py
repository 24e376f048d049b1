"""Recordings hold no personal data, can be replayed and stay small; reports name what differs."""

import json
from pathlib import Path

import pytest

from cryptomarket.errors import ExchangeUnreachable, InternalError
from cryptomarket.simulator.exchange import SimulatedAccount
from cryptomarket.simulator.replay import read_recordings
from cryptomarket.statements import STATEMENTS
from cryptomarket.statements.channels import FIRST_VALUES
from cryptomarket.verify import checks  # noqa: F401 (they enter themselves)
from cryptomarket.verify.allowed import ALLOWED, check_allowed
from cryptomarket.verify.clock import Clock
from cryptomarket.verify.messages import Message
from cryptomarket.verify.recording import MessageRecorder
from cryptomarket.verify.redaction import Redaction
from cryptomarket.verify.registry import CHECKS
from cryptomarket.verify.report import report
from cryptomarket.verify.rows import Row, saw
from cryptomarket.verify.unchecked import NO_CHECK

from .simulated import exchange_at_pace, rows_of

CANARY = SimulatedAccount("canary-id-7Q", "canary-secret-7Q", "canary@mail.example", "canary_user", 987_654_321)
ACCOUNT = {"summaries_extended", "portfolio_lower_case", "grant_fields", "session_token_elsewhere", "refresh_ends_pair"}


async def test_a_recording_holds_no_personal_data(tmp_path: Path) -> None:
    """Neither key, tokens, e-mail, names, the account's id nor balances are in the file; prices are, and it replays."""
    from cryptomarket.deribit.auth import Credentials, Secret

    place = tmp_path / "recording.jsonl"
    async with exchange_at_pace(accounts=[CANARY]) as exchange:
        key = Credentials(CANARY.client_id, Secret(CANARY.client_secret))
        only = frozenset(ACCOUNT | {"index_fields"})
        await rows_of(exchange.ws_url, exchange.http_url, credentials=key, only=only, record=place)
        issued = list(exchange.state.accounts._by_access) + list(exchange.state.accounts._by_refresh)
        asked = set(exchange.statistics()["requests"])
    text = place.read_text()
    assert "private/get_account_summaries" in text
    for secret in (CANARY.client_id, CANARY.client_secret, CANARY.email, CANARY.username, "987654321", *issued):
        assert secret not in text
    balances = [line for line in text.splitlines() if '\\"balance\\"' in line]
    assert balances
    assert all('\\"balance\\":0.0' in line for line in balances)
    assert asked <= ALLOWED
    assert place.stat().st_mode & 0o077 == 0
    assert any(line.channel.startswith("deribit_price_index.") for line in read_recordings([place]))


def test_secrets_are_removed_from_later_messages() -> None:
    """A token that was in an answer is removed from a public message as well, and so is what an error repeats."""
    redaction = Redaction("key-id")
    answer = {"id": 1, "result": {"access_token": "tok-123456", "scope": "session:mine account:read"}}
    redaction.clean(json.dumps(answer), personal=True)
    assert "tok-123456" not in redaction.clean('{"method":"x","params":{"echo":"tok-123456 key-id"}}', personal=False)
    error = json.dumps({"error": {"code": 13009, "message": "invalid_credentials: eyJhbGciOi.J9.x"}})
    cleaned = redaction.clean(error, personal=True)
    assert "eyJ" not in cleaned
    assert json.loads(cleaned)["error"]["code"] == 13009


def test_a_recording_has_a_limit(tmp_path: Path) -> None:
    """At the limit nothing more is written, and whole lines stay."""
    with MessageRecorder(tmp_path / "small.jsonl", Clock(), most_bytes=300) as recorder:
        for number in range(50):
            recorder.received(Message.read(0.0, json.dumps({"id": number})), host="deribit", method="public/test")
        assert recorder.full
    lines = (tmp_path / "small.jsonl").read_text().splitlines()
    assert 0 < len(lines) < 50
    assert [json.loads(line)["direction"] for line in lines] == ["in"] * len(lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_ends_the_recording_alone() -> None:
    """When the disk refuses a line, the recording stops and the run goes on."""
    with MessageRecorder(Path("/dev/full"), Clock(), most_bytes=10_000) as recorder:
        recorder.sent("{}", host="deribit", method="public/test")
        assert recorder.full


async def test_a_host_that_is_no_exchange_is_named() -> None:
    """Where something else answers, or nothing, the run says which address and what it said."""
    async with exchange_at_pace() as exchange:
        other = exchange.http_url.replace("http:", "ws:")
        with pytest.raises(ExchangeUnreachable, match=r"ws://.*/api/v2: HTTP 4\d\d instead of a WebSocket"):
            await rows_of(other, exchange.http_url)
    with pytest.raises(ExchangeUnreachable, match="no connection"):
        await rows_of(exchange.ws_url, exchange.http_url)


@pytest.mark.parametrize("method", ["private/buy", "private/cancel_all", "private/withdraw", "public/exchange_token"])
def test_other_methods_are_never_sent(method: str) -> None:
    """A request of any other method is a bug, alone or in a batch."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method}
    for text in (json.dumps(request), json.dumps([{"method": "public/test"}, request])):
        with pytest.raises(InternalError):
            check_allowed(text)
    check_allowed('{"jsonrpc":"2.0","id":1,"method":')


def test_each_statement_has_a_check_or_a_reason() -> None:
    """No statement is forgotten, and none has both."""
    checked = {statement for check in CHECKS for statement in check.statements}
    assert {one.name for one in STATEMENTS.values() if one not in checked | NO_CHECK.keys()} == set()
    assert checked & NO_CHECK.keys() == set()


def test_a_report_says_what_differs_and_what_was_found() -> None:
    """A report has a row for each statement; what nobody had confirmed stands apart."""
    row = Row.of(saw(FIRST_VALUES, False), "deribit")
    text = report([row], door="deribit", places=["wss://x"], when="now", version="1", options="")
    differs, found = text.index("## Differs"), text.index("## Nobody had confirmed these")
    assert text.count("`first_values`") == 2
    assert differs < text.index("`first_values`") < found
    assert "| yes | no |" in text
