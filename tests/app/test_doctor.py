"""What `cryptomarket doctor` finds, without the process around it."""

from pathlib import Path
from typing import Any

import pytest

from cryptomarket.app.doctor import DoctorCheck, examine
from cryptomarket.simulator.exchange import running_exchange


async def found(folder: Path, exchange_url: str, **other: Any) -> dict[str, DoctorCheck]:
    """The checks by name, of a configuration that is right but for what is given."""
    given: dict[str, Any] = {
        "address": ("127.0.0.1", 0),
        "tickers": ("btc_usd", "BTC-PERPETUAL"),
        "database_url": f"sqlite+aiosqlite:///{folder / 'doctor.db'}",
        "proxy": None,
        "ca_file": None,
        "redis_url": None,
        "login": False,
    }
    checks = await examine(exchange_url=exchange_url, **given | other)
    return {check.name: check for check in checks}


async def test_all_is_well_beside_an_exchange(tmp_path: Path) -> None:
    """Each thing is named with what was found."""
    async with running_exchange() as exchange:
        checks = await found(tmp_path, exchange.http_url)
    assert [name for name, check in checks.items() if not check.ok] == []
    assert "public prices only" in checks["exchange"].says


async def test_a_ticker_the_exchange_does_not_have_is_named(tmp_path: Path) -> None:
    """It would be refused at each connection; better said before the start."""
    async with running_exchange() as exchange:
        checks = await found(tmp_path, exchange.http_url, tickers=("btc_usd", "nope_usd"))
    assert not checks["exchange"].ok
    assert checks["exchange"].says.endswith("does not know nope_usd")


@pytest.mark.parametrize("name", ["database", "redis"])
async def test_what_cannot_be_reached_takes_no_other_check_with_it(tmp_path: Path, name: str) -> None:
    """One failure is one line, without the password of the address."""
    address = {"database": "postgresql+asyncpg://me:hunter2@127.0.0.1:1/d", "redis": "redis://:hunter2@127.0.0.1:1/0"}
    async with running_exchange() as exchange:
        checks = await found(tmp_path, exchange.http_url, **{f"{name}_url": address[name]})
    assert [one for one, check in checks.items() if not check.ok] == [name]
    assert "hunter2" not in str(checks)


async def test_the_same_certificates_are_trusted_as_by_the_gateway(tmp_path: Path) -> None:
    """The file of the settings is used; one that cannot be read is said."""
    checks = await found(tmp_path, "https://127.0.0.1:1/api/v2", ca_file=str(tmp_path / "none.pem"))
    assert "cannot read certificates from" in checks["exchange"].says
