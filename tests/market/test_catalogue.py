"""The catalogue: known tickers, nearest names, and a refresh that is repeated until the exchange answers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import anyio
import pytest
import structlog

from cryptomarket.errors import ExchangeUnreachable
from cryptomarket.market.catalogue import DAY, HOUR, Catalogue, CatalogueStatistics

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

    def catalogue(self, configured: Iterable[str] = ("btc_usd", "my_index")) -> Catalogue:
        return Catalogue(self.fetch, configured=configured, wall=lambda: self.now, sleep=self.sleep)


LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Return the log lines of the test so far."""
    with structlog.testing.capture_logs() as lines:
        yield lambda: [{**line, "level": line["log_level"]} for line in lines]


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
    assert (catalogue.fetched, catalogue.fetching) == (False, False)


async def test_the_first_fetch_lasts_until_it_succeeds_or_fails() -> None:
    """A repeated one counts no more: it may last for as long as the exchange is away."""
    assert Script(0, 1).catalogue().fetching
    for failures in (0, 1):
        _, catalogue = await played(failures=failures, sleeps=1)
        assert (catalogue.fetched, catalogue.fetching) == (not failures, False)


async def test_a_refresh_is_tried_again_with_growing_pauses() -> None:
    """The fetch is repeated with growing pauses until the exchange answers."""
    script, catalogue = await played(failures=3, sleeps=3)
    assert catalogue.statistics() == CatalogueStatistics(tickers=2, finished=None, failure="no route")
    script, catalogue = await played(failures=3, sleeps=4)
    assert catalogue.statistics() == CatalogueStatistics(tickers=6, finished=int(10 * DAY + 5), failure=None)
    assert script.slept[:3] == [15, 30, 60]
    assert catalogue.known("sol_usdc")
    assert not catalogue.known("my_index")


async def test_the_next_refresh_is_just_after_midnight() -> None:
    """New instruments are known after midnight."""
    script = Script(failures=0, sleeps=2)
    with pytest.raises(Finished):
        await script.catalogue(["btc_usd"]).run()
    assert script.slept == [101, DAY]


async def test_near_misses_are_offered() -> None:
    """Wrong case and typing errors find the intended ticker; nonsense finds none."""
    _, catalogue = await played(failures=0, sleeps=1)
    assert catalogue.nearest("btc-perpetual")[0] == "BTC-PERPETUAL"
    assert "btc_usd" in catalogue.nearest("btc_us")
    assert "PAXG_USDC" in catalogue.nearest("PAXG-USDC")
    assert catalogue.nearest("?" * 500) == []


async def test_instruments_come_and_go_between_refreshes() -> None:
    """An instrument that the exchange announces is known at once, one that ended no more."""
    _, catalogue = await played(failures=0, sleeps=1)
    catalogue.changed("BTC-1JAN27", "created")
    catalogue.changed("sol_usdc", "terminated")
    catalogue.changed("eth_usd", "settled")
    assert [catalogue.known(t) for t in ("BTC-1JAN27", "sol_usdc", "eth_usd")] == [True, False, True]


async def test_d5_a_configured_ticker_that_is_not_listed_is_named_once(log_lines: LogLines) -> None:
    """The warning has the nearest names; the complaint goes when the ticker is listed, and comes when it ends."""
    catalogue = Script(failures=0, sleeps=9).catalogue(["btc_usd", "btc_us", "BTC-1JAN27"])
    listed: list[str] = []
    catalogue.on_listed = listed.extend
    assert catalogue.unlisted() == {}
    with pytest.raises(Finished), anyio.fail_after(60):
        await catalogue.run()
    assert catalogue.unlisted() == {"btc_us": ["btc_usd", "eth_usd"], "BTC-1JAN27": []}
    catalogue.changed("BTC-1JAN27", "created")
    assert (list(catalogue.unlisted()), listed) == (["btc_us"], ["BTC-1JAN27"])
    catalogue.changed("BTC-1JAN27", "closed")
    assert list(catalogue.unlisted()) == ["btc_us", "BTC-1JAN27"]
    warnings = [line for line in log_lines() if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["configured tickers not listed by the exchange"] * 2
    assert warnings[0]["tickers"] == "btc_us (did you mean btc_usd, eth_usd?), BTC-1JAN27"


async def test_d5_nothing_is_claimed_while_the_catalogue_is_unreachable() -> None:
    """Before the first fetch every configured ticker is known, whatever the exchange announces."""
    _, catalogue = await played(failures=9, sleeps=2)
    catalogue.changed("my_index", "closed")
    assert catalogue.known("my_index")
    assert catalogue.unlisted() == {}


async def test_d5_an_unlisted_ticker_is_looked_up_each_hour() -> None:
    """A new index is announced by no message: it is found within an hour."""
    script, _ = await played(failures=0, sleeps=3)
    assert script.slept == [101, HOUR, HOUR]
