"""The checks of `cryptomarket doctor`, against a simulated exchange, real databases and a real Redis."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import inspect

from cryptomarket.app import health
from cryptomarket.app.health import Doctor, database_check, public_url_check
from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.database.engine import Database
from cryptomarket.database.schema import prices
from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.deribit.doors import DOORS, Door
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.web.health import Check, Health
from tests.cluster.messages import KEYS, new_keys, tick
from tests.deribit.scripted import refuse, scripted_exchange
from tests.redis_server import running_redis

SECRET = "not-to-be-printed"


NOWHERE = replace(DOORS["deribit"], prices_url="ws://127.0.0.1:1/ws/api/v2", http_url="https://127.0.0.1:1/api/v2")


def door_to(exchange: Exchange, like: str = "deribit") -> Door:
    """The door of that name at a simulated exchange."""
    return replace(DOORS[like], prices_url=exchange.ws_url, http_url=exchange.http_url)


async def examined(folder: Path, door: Door, **other: Any) -> dict[str, Check]:
    """Run the checks with valid settings except for those in ``other``; return them by name."""
    given: dict[str, Any] = {
        "address": ("127.0.0.1", 0),
        "tickers": ("btc_usd", "BTC-PERPETUAL"),
        "database_url": f"sqlite+aiosqlite:///{folder / 'doctor.db'}",
        "key_file": folder / "cryptomarket.key",
        "door": door,
        "deadline_seconds": 10.0,
    }
    return await Doctor(**given | other).examine()


def failures(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if not check.ok]


async def test_every_check_passes_beside_an_exchange(tmp_path: Path) -> None:
    """With valid settings every check passes, in the order in which they are printed."""
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange))
    assert list(checks) == ["port", "database", "disk", "exchange", "prices", "login", "redis"]
    assert failures(checks) == []
    assert "public prices only" in checks["login"].detail
    assert exchange.http_url in checks["exchange"].detail
    assert checks["prices"].detail == f"{exchange.ws_url} takes subscriptions"


async def test_the_host_of_something_else_is_named(tmp_path: Path) -> None:
    """A host that does not subscribe is named with the settings, and fails no other check."""
    async with running_exchange() as exchange, scripted_exchange() as other:
        other.answers["public/subscribe"] = refuse
        checks = await examined(tmp_path, replace(door_to(exchange), prices_url=other.url))
    assert failures(checks) == ["prices"]
    assert checks["prices"].detail == (
        f"{other.url}: 127.0.0.1 sends no prices: wrong host? see CRYPTOMARKET_EXCHANGE and CRYPTOMARKET_DERIBIT_WS_URL"
    )


async def test_a_key_at_a_door_that_takes_none_is_named(tmp_path: Path) -> None:
    """The doctor names both settings, and that prices arrive."""
    async with running_exchange() as exchange:
        credentials = Credentials("key", Secret(SECRET))
        checks = await examined(tmp_path, door_to(exchange, "coinbase"), credentials=credentials)
    assert failures(checks) == ["login"]
    assert "CRYPTOMARKET_DERIBIT_CLIENT_ID" in checks["login"].detail
    assert "CRYPTOMARKET_EXCHANGE" in checks["login"].detail


async def test_a_wrong_clock_of_this_machine_is_named(tmp_path: Path) -> None:
    """The check of the exchange compares the clocks."""
    async with running_exchange() as exchange:
        exchange.inject("skew", "-90")
        checks = await examined(tmp_path, door_to(exchange))
    assert failures(checks) == ["exchange"]
    assert checks["exchange"].detail.endswith("the clock of this machine is 90 s ahead of the exchange's: set it")


async def test_d5_a_ticker_the_exchange_does_not_have_is_named(tmp_path: Path) -> None:
    """The check of the exchange names a configured ticker that it does not have, and the nearest names."""
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange), tickers=("btc_usd", "btc_usdd"))
    assert not checks["exchange"].ok
    assert checks["exchange"].detail.endswith(
        "does not list btc_usdd (did you mean btc_usd, btc_usdt, btc_usde?); see CRYPTOMARKET_TICKERS"
    )


@pytest.mark.parametrize("name", ["database", "redis"])
async def test_a_failed_check_does_not_fail_others(tmp_path: Path, name: str) -> None:
    """Only the check of the unavailable server fails, and it does not contain the password."""
    address = {"database": "postgresql+asyncpg://me:hunter2@127.0.0.1:1/d", "redis": "redis://:hunter2@127.0.0.1:1/0"}
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange), **{f"{name}_url": address[name]})
    assert failures(checks) == [name]
    assert "hunter2" not in str(checks)


async def test_the_certificates_of_the_settings_are_used(tmp_path: Path) -> None:
    """The check of the exchange names a file of certificates that cannot be read."""
    checks = await examined(tmp_path, NOWHERE, ca_file=str(tmp_path / "none.pem"))
    assert "cannot read certificates from" in checks["exchange"].detail


async def test_the_check_of_the_database_leaves_nothing(tmp_path: Path, database_url: str) -> None:
    """The check leaves no table before the first migration, and no row after it."""
    async with running_exchange() as exchange:
        empty = await examined(tmp_path, door_to(exchange), database_url=database_url)
        database = Database(database_url, pooled=False)
        async with database.readers.connect() as connection:
            tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        async with Database(database_url) as store:
            await store.migrate()
        full = await examined(tmp_path, door_to(exchange), database_url=database_url)
        async with database.readers.connect() as connection:
            rows = (await connection.execute(prices.select())).all()
    assert (failures(empty), tables) == ([], [])
    assert (failures(full), rows) == ([], [])


async def test_a_file_that_is_no_database_fails(tmp_path: Path) -> None:
    """The check of the database names a file that is no database."""
    (tmp_path / "doctor.db").write_bytes(b"x" * 8192)
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange))
    assert failures(checks) == ["database"]
    assert "not a database" in checks["database"].detail


async def test_a_redis_of_nodes_with_another_key_is_named(tmp_path: Path) -> None:
    """The check fails if stored messages were signed with another key; without messages or a key it passes."""
    async with running_redis(tmp_path) as redis, running_exchange() as exchange, redis_client(redis.url) as client:
        ask = partial(examined, tmp_path, door_to(exchange), redis_url=redis.url)
        assert (await ask(keys=new_keys()))["redis"].ok
        leader = RedisBus(client, "n", KEYS)
        leader.lead(1)
        leader.publish(tick(1))
        await leader.flush()
        for keys, expected in ((KEYS, True), (None, True), (new_keys(), False)):
            check = (await ask(keys=keys))["redis"]
            assert (check.ok, "do not verify" in check.detail) == (expected, not expected)


@pytest.mark.parametrize(("options", "ok"), [((), True), (("--min-replicas-to-write", "1"), False)])
async def test_redis_is_written_to(tmp_path: Path, options: tuple[str, ...], ok: bool) -> None:
    """The check passes for a working Redis, and fails for one that refuses writes."""
    async with running_redis(tmp_path, *options) as redis, running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange), redis_url=redis.url)
    assert checks["redis"].ok is ok
    assert ("takes writes" if ok else "takes no writes") in checks["redis"].detail


async def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the disk names the folder with too little free space."""
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", shutil.disk_usage(tmp_path).total * 2)
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange))
    assert failures(checks) == ["disk"]
    assert str(tmp_path) in checks["disk"].detail


async def test_a_missing_folder_fails(tmp_path: Path) -> None:
    """The check of the disk fails if the folder of the key file does not exist."""
    async with running_exchange() as exchange:
        checks = await examined(tmp_path, door_to(exchange), key_file=tmp_path / "none" / "cryptomarket.key")
    assert failures(checks) == ["disk"]


@pytest.mark.parametrize("right", [True, False])
async def test_the_check_logs_in_with_the_key(tmp_path: Path, right: bool) -> None:
    """The check passes with a right key and fails with a wrong one; the secret is not shown."""
    exchange: Exchange
    async with running_exchange() as exchange:
        account = exchange.accounts[0]
        secret = account.client_secret if right else SECRET
        checks = await examined(
            tmp_path,
            door_to(exchange),
            credentials=Credentials(account.client_id, Secret(secret)),
        )
    assert failures(checks) == ([] if right else ["login"])
    assert ("see CRYPTOMARKET_EXCHANGE" in checks["login"].detail) is not right
    assert secret not in str(checks)


async def test_an_exchange_without_answer_fails_the_login_in_time(tmp_path: Path) -> None:
    """Without an answer the check of the login fails after the deadline."""
    async with running_exchange() as exchange:
        credentials = Credentials("key", Secret(SECRET))
        door = replace(NOWHERE, http_url=exchange.http_url)
        checks = await examined(tmp_path, door, credentials=credentials, deadline_seconds=3.0)
    assert failures(checks) == ["prices", "login"]
    assert NOWHERE.prices_url in checks["prices"].detail
    assert "does not answer" in checks["login"].detail


async def test_the_public_answer_does_not_show_the_database() -> None:
    """/readyz hides address, account and name of a database that does not answer. Operators see them."""
    database = Database("postgresql+asyncpg://prices_account:hunter2@127.0.0.1:1/prices_name", pooled=False)
    check = await database_check(database.ping)
    assert (check.ok, check.detail) == (False, "does not answer")
    assert "prices_account" in str(check.cause)
    public = msgspec.json.encode(Health({"database": check}).readiness()).decode()
    for hidden in ("prices_account", "127.0.0.1", "prices_name", "hunter2"):
        assert hidden not in public
    assert "hunter2" not in str(check.cause)


@pytest.mark.parametrize(
    ("url", "proxies", "ok", "words"),
    [
        ("https://prices.example.com", ("10.0.0.1",), True, "https://prices.example.com"),
        ("http://127.0.0.1:8000", (), True, "http://127.0.0.1:8000"),
        ("http://prices.example.com", (), False, "use https"),
        ("", ("10.0.0.1",), False, "CRYPTOMARKET_PUBLIC_URL is not set"),
        ("", (), True, "any host is served"),
    ],
)
def test_a_public_address_without_protection_is_a_warning(
    url: str, proxies: tuple[str, ...], ok: bool, words: str
) -> None:
    """The check shows the address or what is wrong with it; a gateway with a wrong one can still serve."""
    check = public_url_check(url, proxies)
    assert (check.ok, check.needed and not ok) == (ok, False)
    assert words in check.detail
