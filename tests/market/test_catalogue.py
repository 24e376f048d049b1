"""The catalogue: known tickers, nearest names, and a refresh that is repeated until the exchange answers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import anyio
import pytest
import structlog

from cryptomarket.errors import ExchangeUnreachable
from cryptomarket.market.catalogue import (
    CHECK_SECONDS,
    DAY,
    HOUR,
    PAUSE_SECONDS,
    Catalogue,
    CatalogueStatistics,
)
from cryptomarket.model import Instrument, InstrumentChanged, Message, SessionChanged, Upstream, UpstreamState

NAMES = ["btc_usd", "eth_usd", "sol_usdc", "BTC-PERPETUAL", "ETH-PERPETUAL", "PAXG_USDC"]


def instrument(name: str) -> Instrument:
    return Instrument(name, "future", "btc_usd", "USD", 1_798_704_000, None, "", Decimal(10), Decimal("0.5"))


class Script:
    """An exchange that fails a number of times, and a clock that sleeping moves; the script ends after some sleeps."""

    def __init__(self, failures: int, sleeps: int) -> None:
        self.failures, self.fetches, self.slept, self.sleeps = failures, 0, [0.0] * 0, sleeps
        self.fetched_at: list[float] = []
        self.now = 10 * DAY - 100.0
        self.listed = {name: instrument(name) if name[0].isupper() else None for name in NAMES}
        #: What happens while the exchange answers, and during each sleep.
        self.during_fetch: Callable[[], object] = lambda: None
        self.during_sleep: Callable[[], object] = lambda: None

    async def fetch(self) -> dict[str, Instrument | None]:
        self.fetches += 1
        self.fetched_at.append(self.now)
        if self.fetches <= self.failures:
            raise ExchangeUnreachable("no route")
        self.during_fetch()
        return dict(self.listed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.during_sleep()
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
    script = Script(failures=0, sleeps=5 + DAY // int(CHECK_SECONDS))
    with pytest.raises(Finished):
        await script.catalogue(["btc_usd"]).run()
    assert [moment % DAY for moment in script.fetched_at] == [DAY - 100, 1, 1]


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
    catalogue.on_message(InstrumentChanged("BTC-1JAN27", True, instrument("BTC-1JAN27")))
    catalogue.on_message(InstrumentChanged("PAXG_USDC", False))
    assert [catalogue.known(t) for t in ("BTC-1JAN27", "PAXG_USDC", "eth_usd")] == [True, False, True]
    assert catalogue.instrument("BTC-1JAN27") == instrument("BTC-1JAN27")
    assert catalogue.price_index("BTC-1JAN27") == "btc_usd"
    assert (catalogue.instrument("PAXG_USDC"), catalogue.price_index("btc_usd")) == (None, None)


async def test_an_instrument_without_an_index_adds_none() -> None:
    """Neither one that is fetched nor one that is announced: the empty name is no index."""
    script = Script(failures=0, sleeps=1)
    bare = Instrument("BTC-1JAN27", "", "", "", None, None, "", None, None)
    script.listed[bare.name] = bare
    catalogue = script.catalogue()
    with pytest.raises(Finished):
        await catalogue.run()
    catalogue.on_message(InstrumentChanged("BTC-2JAN27", True, replace(bare, name="BTC-2JAN27")))
    assert catalogue.known("BTC-1JAN27")
    assert catalogue.known("BTC-2JAN27")
    assert not catalogue.known_index("")
    assert catalogue.price_index("BTC-1JAN27") is None


async def test_d5_a_configured_ticker_that_is_not_listed_is_named_once(log_lines: LogLines) -> None:
    """The warning has the nearest names; the complaint goes when the ticker is listed, and comes when it ends."""
    catalogue = Script(failures=0, sleeps=9).catalogue(["btc_usd", "btc_us", "BTC-1JAN27"])
    listed: list[str] = []
    catalogue.on_listed = listed.extend
    assert catalogue.unlisted() == {}
    with pytest.raises(Finished), anyio.fail_after(60):
        await catalogue.run()
    assert catalogue.unlisted() == {"btc_us": ["btc_usd", "eth_usd"], "BTC-1JAN27": []}
    catalogue.on_message(InstrumentChanged("BTC-1JAN27", True))
    assert (list(catalogue.unlisted()), listed) == (["btc_us"], ["BTC-1JAN27"])
    catalogue.on_message(InstrumentChanged("BTC-1JAN27", False))
    assert list(catalogue.unlisted()) == ["btc_us", "BTC-1JAN27"]
    warnings = [line for line in log_lines() if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["configured tickers not listed by the exchange"] * 2
    assert warnings[0]["tickers"] == "btc_us (did you mean btc_usd, eth_usd?), BTC-1JAN27"


async def test_d5_nothing_is_claimed_while_the_catalogue_is_unreachable() -> None:
    """Before the first fetch every configured ticker is known, whatever the exchange announces."""
    _, catalogue = await played(failures=9, sleeps=2)
    catalogue.on_message(InstrumentChanged("my_index", False))
    assert catalogue.known("my_index")
    assert catalogue.unlisted() == {}


async def test_d5_an_unlisted_ticker_is_looked_up_each_hour() -> None:
    """A new index is announced by no message: it is found within an hour."""
    script, _ = await played(failures=0, sleeps=5 + HOUR // int(CHECK_SECONDS))
    assert [moment % HOUR for moment in script.fetched_at] == [HOUR - 100, 1, 1]


async def test_what_is_listed_during_a_fetch_stays_known() -> None:
    """The answer of the exchange may be older than a listing that arrives before it."""
    script = Script(failures=0, sleeps=1)
    catalogue = script.catalogue()
    script.during_fetch = lambda: catalogue.on_message(InstrumentChanged("BTC-1JAN27", True, instrument("BTC-1JAN27")))
    with pytest.raises(Finished):
        await catalogue.run()
    assert catalogue.instrument("BTC-1JAN27") == instrument("BTC-1JAN27")


LOST, LIVE = Upstream(UpstreamState.CONNECTING, 0), Upstream(UpstreamState.LIVE, 0)


@pytest.mark.parametrize(
    ("messages", "again"),
    [
        ([InstrumentChanged("BTC-1JAN27", True)], True),
        (
            [InstrumentChanged("BTC-1JAN27", True), InstrumentChanged("BTC-1JAN27", True, instrument("BTC-1JAN27"))],
            False,
        ),
        ([InstrumentChanged("BTC-1JAN27", True), InstrumentChanged("BTC-1JAN27", False)], False),
        ([LOST, LIVE], True),
        ([LOST], False),
        ([LIVE], False),
        ([SessionChanged((), "missed")], True),
        ([SessionChanged(("one",), "person")], False),
    ],
)
async def test_where_something_may_be_missing_it_is_fetched_again(messages: list[Message], again: bool) -> None:
    """A listing without details, a connection that was lost, or lost messages of the bus: fetched in ten minutes."""
    script = Script(failures=0, sleeps=30)
    script.now += 300  # the day has begun
    catalogue = script.catalogue(["btc_usd"])

    def announce() -> None:
        for message in messages if len(script.slept) == 1 else []:
            catalogue.on_message(message)

    script.during_sleep = announce
    with pytest.raises(Finished):
        await catalogue.run()
    assert [moment - script.fetched_at[0] for moment in script.fetched_at] == [0.0, *([PAUSE_SECONDS] if again else [])]


async def test_the_fetches_for_missing_details_become_rare() -> None:
    """An exchange that announces what it never lists is not asked for 5 MB every ten minutes."""
    script = Script(failures=0, sleeps=DAY // int(CHECK_SECONDS) - 20)
    script.now += 300
    catalogue = script.catalogue(["btc_usd"])
    script.during_sleep = lambda: catalogue.on_message(InstrumentChanged("BTC-1JAN27", True))
    with pytest.raises(Finished):
        await catalogue.run()
    pauses = [later - earlier for earlier, later in pairwise(script.fetched_at)]
    assert pauses[:4] == [600, 1200, 2400, HOUR]
    assert set(pauses[4:]) == {HOUR}
