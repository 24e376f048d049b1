"""The catalogue: known tickers, nearest names, and a refresh that is repeated until the exchange answers."""

from collections.abc import Iterable

import anyio
import pytest

from cryptomarket.errors import ExchangeUnreachable
from cryptomarket.market.catalogue import DAY, Catalogue, CatalogueStatistics

NAMES = ["btc_usd", "eth_usd", "sol_usdc", "BTC-PERPETUAL", "ETH-PERPETUAL", "PAXG_USDC"]


class Script:
    """An exchange that fails a number of times, and a clock that sleeping moves; the script ends after some sleeps."""

    def __init__(self, failures: int, sleeps: int) -> None:
        self.failures, self.fetches, self.slept, self.sleeps = failures, 0, [0.0] * 0, sleeps
        self.now = 10 * DAY - 100.0

    async def fetch(self) -> Iterable[str]:
        self.fetches += 1
        if self.fetches <= self.failures:
            raise ExchangeUnreachable("no route")
        return NAMES

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        if len(self.slept) == self.sleeps:
            raise Finished

    def catalogue(self) -> Catalogue:
        return Catalogue(self.fetch, always=["btc_usd", "my_index"], wall=lambda: self.now, sleep=self.sleep)


class Finished(Exception):
    """The script is over."""


async def played(failures: int, sleeps: int) -> tuple[Script, Catalogue]:
    script = Script(failures, sleeps)
    catalogue = script.catalogue()
    with pytest.raises(Finished), anyio.fail_after(60):
        await catalogue.run()
    return script, catalogue


async def test_configured_tickers_are_known_before_anything_is_fetched() -> None:
    """Without the exchange the configured tickers are known."""
    script, catalogue = await played(failures=1, sleeps=1)
    assert catalogue.known("my_index")
    assert not catalogue.known("sol_usdc")
    assert script.fetches == 1


async def test_a_refresh_is_tried_again_with_growing_pauses() -> None:
    """The fetch is repeated with growing pauses until the exchange answers."""
    script, catalogue = await played(failures=3, sleeps=3)
    assert catalogue.statistics() == CatalogueStatistics(tickers=2, finished=None, failure="no route")
    script, catalogue = await played(failures=3, sleeps=4)
    assert catalogue.statistics() == CatalogueStatistics(tickers=7, finished=int(10 * DAY + 5), failure=None)
    assert script.slept[:3] == [15, 30, 60]
    assert catalogue.known("sol_usdc")
    assert catalogue.known("my_index")


async def test_the_next_refresh_is_just_after_midnight() -> None:
    """New instruments are known after midnight."""
    script, _ = await played(failures=0, sleeps=2)
    assert script.slept == [101, DAY]


async def test_near_misses_are_offered() -> None:
    """Wrong case and typing errors find the intended ticker; nonsense finds none."""
    _, catalogue = await played(failures=0, sleeps=1)
    assert catalogue.nearest("btc-perpetual")[0] == "BTC-PERPETUAL"
    assert "btc_usd" in catalogue.nearest("btc_us")
    assert "PAXG_USDC" in catalogue.nearest("PAXG-USDC")
    assert catalogue.nearest("?" * 500) == []


async def test_instruments_come_and_go_between_refreshes() -> None:
    """An instrument that the exchange announces is known at once; configured tickers stay."""
    _, catalogue = await played(failures=0, sleeps=1)
    catalogue.changed("BTC-1JAN27", "created")
    catalogue.changed("sol_usdc", "terminated")
    catalogue.changed("eth_usd", "settled")
    catalogue.changed("my_index", "closed")
    assert [catalogue.known(t) for t in ("BTC-1JAN27", "sol_usdc", "eth_usd", "my_index")] == [True, False, True, True]
