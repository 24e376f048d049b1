"""The commands on stored prices, on both databases, and the help of every command."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cryptomarket.cli import app
from cryptomarket.errors import StartError
from cryptomarket.model import Price
from cryptomarket.simulator.exchange import running_exchange
from tests.databases import StoredHistory
from tests.processes import eventually, run_program, running_program

pytestmark = pytest.mark.system

HOUR = 1_732_136_400  # 2024-11-20T21:00:00Z


@pytest.fixture
async def stored(database_url: str) -> str:
    """The address of a database with ten minutes of prices, one of them missing."""
    async with StoredHistory(database_url) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        for minute in (0, 1, 2, 3, 5, 6, 7, 8, 9):
            slot = HOUR + minute * 60
            await store.write_live(
                [Price("btc_usd", slot, Decimal(f"64250.1{minute}0"), slot * 1000, epoch=epoch)], epoch
            )
    return database_url


async def test_history_prints_the_newest_of_a_range_oldest_first(tmp_path: Path, stored: str) -> None:
    """The output is JSON lines with every digit, of exactly the range."""
    arguments = ["--ticker", "btc_usd", "--to", "2024-11-20T21:04", "--limit", "2", "--json"]
    code, out, log = await run_program(tmp_path, "history", *arguments, database_url=stored)
    assert code == 0, log
    prices = [json.loads(line, parse_float=Decimal) for line in out.splitlines()]
    assert [str(price["price"]) for price in prices] == ["64250.120", "64250.130"]


async def test_export_writes_a_file(tmp_path: Path, stored: str) -> None:
    """The file has exactly the rows of the range, in the requested format."""
    out_path = tmp_path / "prices.csv"
    arguments = ["--ticker", "btc_usd", "--out", str(out_path)]
    code, out, log = await run_program(tmp_path, "export", *arguments, database_url=stored)
    assert (code, out, log) == (0, "", "9 prices\n")
    lines = out_path.read_text().splitlines()
    assert lines[1].startswith(f"btc_usd,{HOUR},64250.100,")
    assert len(lines) == 10


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error is a sentence, and the exit code is 1."""
    arguments = ["--ticker", "btc_usd", "--out", str(tmp_path / "nowhere" / "prices.csv")]
    code, _, log = await run_program(tmp_path, "export", *arguments)
    assert code == 1
    assert log.startswith("cryptomarket: cannot write ")
    assert "Traceback" not in log


async def test_gaps_names_what_is_missing(tmp_path: Path, stored: str) -> None:
    """Missing intervals are printed with exit code 1; a complete range prints nothing, with exit code 0."""
    code, out, log = await run_program(tmp_path, "gaps", "--ticker", "btc_usd", "--json", database_url=stored)
    assert code == 1, log
    gap, since = map(json.loads, out.splitlines())
    assert (gap["start"], gap["end"]) == (HOUR + 240, HOUR + 300)
    assert (since["start"], since["reason"]) == (HOUR + 600, "unrecorded")
    whole = ["--ticker", "btc_usd", "--from", str(HOUR + 300), "--to", str(HOUR + 600)]
    code, out, _ = await run_program(tmp_path, "gaps", *whole, database_url=stored)
    assert (code, out) == (0, "")


async def test_backfill_fetches_what_the_exchange_still_has(tmp_path: Path, database_url: str) -> None:
    """The minutes of the last half hour come from the exchange's own history."""
    async with running_exchange() as exchange:
        now = exchange.state.now_ms() // 60_000 * 60
        arguments = ["--ticker", "btc_usd", "--from", str(now - 1800), "--to", str(now)]
        address = {"database_url": database_url, "deribit_http_url": exchange.http_url}
        code, out, log = await run_program(tmp_path, "backfill", *arguments, **address)
        assert code == 0, log
        assert out.split()[1:] == ["slots", "filled"]
        assert int(out.split()[0]) >= 28
    listed = ["--ticker", "btc_usd", "--limit", "100", "--json"]
    code, out, _ = await run_program(tmp_path, "history", *listed, database_url=database_url)
    assert len(out.splitlines()) >= 28


async def test_d3_snapshot_stores_the_current_prices(tmp_path: Path, database_url: str) -> None:
    """Without arguments: the configured tickers. Each slot is stored once, and a failure is exit code 1."""
    async with running_exchange() as exchange:
        exchange.inject("delay", "1")
        given = {"database_url": database_url, "deribit_http_url": exchange.http_url, "snapshot_interval": 86_400}
        code, out, log = await run_program(tmp_path, "snapshot", "--json", **given)
        assert code == 0, log
        prices = [json.loads(line, parse_float=Decimal) for line in out.splitlines()]
        assert [price["ticker"] for price in prices] == ["btc_usd", "eth_usd"]
        assert log == "2 stored, 0 already stored, 0 without a price\n"
        wanted = ["--ticker", "btc_usd", "--ticker", "nothing_usd", "--ticker", "BTC-PERPETUAL"]
        code, out, log = await run_program(tmp_path, "snapshot", *wanted, **given)
        assert code == 1
        assert out.split()[1] == "BTC-PERPETUAL"
        assert log.splitlines()[1:] == ["1 stored, 1 already stored, 1 without a price"]
        assert log.startswith("nothing_usd: public/get_index_price was refused")
    code, out, _ = await run_program(tmp_path, "history", "--ticker", "btc_usd", "--json", database_url=database_url)
    assert json.loads(out, parse_float=Decimal) == prices[0]


@pytest.mark.parametrize("command", ["history", "export", "gaps", "backfill"])
async def test_a_wrong_moment_is_named(tmp_path: Path, command: str) -> None:
    """A wrong moment is a sentence that names the option, with exit code 1."""
    code, _, log = await run_program(tmp_path, command, "--ticker", "btc_usd", "--from", "yesterday")
    assert code == 1
    assert "--from" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("command", ["history", "export", "gaps", "backfill"])
async def test_d10_a_reversed_range_is_refused(tmp_path: Path, command: str) -> None:
    """The rule is that of the API: a bare date as the end includes its day, and nothing of the next."""
    arguments = ["--ticker", "btc_usd", "--from", "2025-11-21", "--to", "2025-11-20"]
    code, _, log = await run_program(tmp_path, command, *arguments)
    assert (code, log) == (1, "cryptomarket: --from: expected a time that is not after --to\n")


async def test_d10_a_backfill_of_the_future_is_refused(tmp_path: Path) -> None:
    """Without an end it ends now."""
    code, _, log = await run_program(tmp_path, "backfill", "--ticker", "btc_usd", "--from", "2100-01-01")
    assert (code, log) == (1, "cryptomarket: --from: expected a time that is not after now\n")


async def test_no_history_is_a_sentence(tmp_path: Path) -> None:
    """A database that does not exist is named and not created."""
    code, _, log = await run_program(tmp_path, "history", "--ticker", "btc_usd")
    assert code == 1
    assert "history.db" in log
    assert "Traceback" not in log
    assert not (tmp_path / "history.db").exists()


COMMANDS = [
    *("serve", "demo", "simulate", "tail", "history", "export", "gaps", "backfill", "snapshot", "init"),
    *("migrate", "rotate-keys", "doctor", "verify", "conformance", "bench"),
    *("persons list", "persons forget"),
]
FOR_SCRIPTS = [
    *("tail", "history", "gaps", "backfill", "snapshot", "doctor", "verify", "persons list", "conformance", "bench"),
]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--email a@example.com --client-id a --client-secret s3cret", "--email is given before any --client-id"),
        ("--client-secret s3cret --client-id a", "--client-secret is given before any --client-id"),
        ("--client-id a --client-id b --client-secret s3cret", "--client-id a has no --client-secret"),
        ("--client-id a --client-secret s3cret --client-secret s3cret", "--client-id a has two --client-secret"),
        ("--client-id a --client-secret s3cret --client-id a", "--client-id a is given twice"),
        ("--door coinbase-main --client-id a --client-secret s3cret", "--client-secret is no option of the door"),
        ("--door back", "unknown door 'back': expected one of deribit, coinbase-streams, coinbase-main"),
    ],
)
def test_d11_an_account_that_is_not_whole_is_named(arguments: str, says: str) -> None:
    """The sentence names the option that is missing, and shows no secret."""
    found = CliRunner().invoke(app, ["simulate", *arguments.split(), "--switch", "none=0"])  # it never runs
    assert isinstance(found.exception, StartError)
    assert says in str(found.exception)
    assert "s3cret" not in str(found.exception)


async def test_d11_an_email_belongs_to_the_client_id_before_it(tmp_path: Path) -> None:
    """The second account has the e-mail; the first has one derived from its id."""
    arguments = (
        "--port 0 --client-id ann --client-secret one --client-id=bob --email=bob@example.com --client-secret two"
    )
    async with running_program(tmp_path, "simulate", *arguments.split()) as program:
        await eventually(lambda: "bob@example.com\n" in program.out, "the accounts are printed")
        assert "account ann secret one e-mail ann@example.com\n" in program.out
        assert "account bob secret two e-mail bob@example.com\n" in program.out
        assert await program.stop() == 0


async def test_a_simulated_coinbase_prints_a_key_for_each_account(tmp_path: Path) -> None:
    """The name of the key and its private half, with which a client signs its tokens."""
    arguments = "--port 0 --door coinbase-main --client-id ann --email ann@example.com"
    async with running_program(tmp_path, "simulate", *arguments.split()) as program:
        await eventually(lambda: "END PRIVATE KEY" in program.out, "the key is printed")
        assert "account ann e-mail ann@example.com\n-----BEGIN PRIVATE KEY-----\n" in program.out
        assert await program.stop() == 0


def test_every_command_shows_an_example() -> None:
    """Every command has a sentence, an example, and `--json` where scripts read its output."""
    runner = CliRunner()
    assert {" ".join(names) for names, _ in commands(get_command(app))} == set(COMMANDS)
    for command in COMMANDS:
        shown = runner.invoke(app, [*command.split(), "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0
        assert f"Example: cryptomarket {command}" in shown.output, command
        assert ("--json" in shown.output) or (command not in FOR_SCRIPTS), command
    whole = runner.invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert "Exit codes: 0 done, 1 something failed or is missing, 2 wrong usage or settings" in whole.output


def commands(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group, by the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command
