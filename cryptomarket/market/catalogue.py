"""The catalogue: every ticker the exchange offers, what is known of it, and the names nearest to a mistyped one.

Every node fetches it each day, and applies the listings and ends that the bus brings. Where it may have missed some, it
fetches again within minutes. Configured tickers are compared with it, so that a misspelt or ended one is said.

Names are taken from the exchange and never derived: `PAXG-USDC` and `PAXG_USDC` both look right, and one of them fails.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import anyio
import structlog
from anyio.abc import TaskStatus

from ..backoff import doubled
from ..errors import ExchangeError
from ..model import Instrument, InstrumentChanged, Message, SessionChanged, Upstream, UpstreamState, is_index
from .ticker_index import TickerIndex

__all__ = ["Catalogue", "CatalogueStatistics", "with_nearest"]

log = structlog.get_logger(__name__)

DAY, HOUR = 86_400, 3_600
#: The pauses after failed fetches, which double. They may be long, since only new names depend on a fetch.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 15.0, 3600.0
#: How often it is looked whether the catalogue is incomplete, and how long after a fetch it is fetched again for that.
#: A listing that comes without its details has them a moment later, if the exchange sends them at all.
CHECK_SECONDS, PAUSE_SECONDS = 30.0, 600.0


@dataclass(frozen=True, slots=True)
class CatalogueStatistics:
    """How many tickers are known, when they were last fetched (UNIX seconds), and why the last fetch failed, if so."""

    tickers: int
    finished: int | None
    failure: str | None


def with_nearest(unlisted: Mapping[str, Sequence[str]]) -> str:
    """The tickers with the names nearest to each, as a part of a sentence."""
    return ", ".join(f"{name} (did you mean {', '.join(near)}?)" if near else name for name, near in unlisted.items())


class Catalogue:
    """The tickers of the exchange as last fetched. Before the first fetch the configured ones are known.

    ``fetch`` returns every ticker, with what there is to know of it if it is an instrument. ``on_listed`` is called
    with the configured tickers that the exchange lists after it did not.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Instrument | None]]],
        *,
        configured: Iterable[str],
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._fetch = fetch
        self._configured = tuple(configured)
        self._names = TickerIndex(self._configured)
        self._instruments: dict[str, Instrument] = {}
        self._indices = TickerIndex(filter(is_index, self._configured))
        self._unlisted: dict[str, list[str]] = {}
        self.on_listed: Callable[[list[str]], None] = _ignore
        self._wall = wall
        self._sleep = sleep
        self._fetched_at: float | None = None
        self._failure: str | None = None
        #: What the bus brought since the fetch began whose answer is awaited; None while none is under way.
        self._meanwhile: list[InstrumentChanged] | None = None
        #: Whether upstream is lost, and whether a listing or an end may have been missed since the last fetch.
        self._upstream_lost = self._missed = False
        #: Tickers that were listed without details.
        self._bare: set[str] = set()

    def __repr__(self) -> str:
        return f"<Catalogue {len(self._names)} tickers>"

    def statistics(self) -> CatalogueStatistics:
        """The state of the refresh."""
        fetched = None if self._fetched_at is None else int(self._fetched_at)
        return CatalogueStatistics(len(self._names), fetched, self._failure)

    def search(self, text: str) -> Iterator[str]:
        """The known tickers that contain the text in any case, sorted."""
        return self._names.containing(text)

    def known(self, name: str) -> bool:
        """Whether the exchange offers the ticker; before the first fetch, whether it is configured."""
        return name in self._names

    def nearest(self, name: str) -> list[str]:
        """At most three known tickers that resemble ``name``, the closest first."""
        return self._names.nearest(name)

    @property
    def fetched(self) -> bool:
        """Whether the catalogue was fetched since the start."""
        return self._fetched_at is not None

    @property
    def fetching(self) -> bool:
        """Whether the first fetch since the start has neither succeeded nor failed yet."""
        return self._fetched_at is None and self._failure is None

    def unlisted(self) -> Mapping[str, Sequence[str]]:
        """The configured tickers that the exchange does not offer, with the nearest names; none before a fetch."""
        return self._unlisted

    def instrument(self, ticker: str) -> Instrument | None:
        """What is known of the ticker, None of an index and of an instrument whose details have not come yet."""
        return self._instruments.get(ticker)

    def instruments(self, after: str = "") -> Iterator[Instrument]:
        """The instruments whose details are known, sorted by name, from the one that follows ``after`` on."""
        return (self._instruments[name] for name in self._names.after(after) if name in self._instruments)

    def known_index(self, name: str) -> bool:
        """Whether the exchange has the index."""
        return name in self._indices

    def nearest_index(self, name: str) -> list[str]:
        """At most three indices that resemble ``name``, the closest first."""
        return self._indices.nearest(name)

    def price_index(self, ticker: str) -> str | None:
        """The index that an instrument belongs to, if it is known."""
        found = self._instruments.get(ticker)
        return (found.price_index or None) if found else None

    def on_message(self, message: Message) -> None:
        """Apply a message of the bus: a listing or an end, or a sign that some may have been missed."""
        match message:
            case InstrumentChanged():
                if self._meanwhile is not None:
                    self._meanwhile.append(message)
                self._apply(message)
            case Upstream():
                lost = message.state in (UpstreamState.CONNECTING, UpstreamState.DOWN)
                self._missed |= self._upstream_lost and not lost
                self._upstream_lost = self.fetched and lost
            case SessionChanged(sessions=()):
                self._missed |= self.fetched

    def _apply(self, change: InstrumentChanged) -> None:
        ticker, instrument = change.ticker, change.instrument
        if change.listed:
            self._names.add(ticker)
            if instrument is not None:
                self._instruments[ticker] = instrument
                if instrument.price_index:
                    self._indices.add(instrument.price_index)
                self._bare.discard(ticker)
            elif ticker not in self._instruments:
                self._bare.add(ticker)
        elif self.fetched:
            self._names.discard(ticker)
            self._instruments.pop(ticker, None)
            self._bare.discard(ticker)
        if self.fetched and ticker in self._configured:
            self._compare()

    def _compare(self) -> None:
        """Compare the configured tickers with the catalogue; log and report the differences to the last time."""
        before = self._unlisted
        missing = [ticker for ticker in self._configured if ticker not in self._names]
        self._unlisted = {ticker: before[ticker] if ticker in before else self.nearest(ticker) for ticker in missing}
        if self._unlisted.keys() - before.keys():
            log.warning("configured tickers not listed by the exchange", tickers=with_nearest(self._unlisted))
        if listed := [ticker for ticker in before if ticker in self._names]:
            log.info("configured tickers listed by the exchange", tickers=", ".join(listed))
            self.on_listed(listed)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fetch now and after each midnight UTC, until cancelled; a failed fetch is repeated with growing pauses.

        While a configured ticker is not listed, each hour: it may be a new index, which no message announces. Sooner
        when something may be missing: ten minutes after the last fetch, then with growing pauses.
        """
        task_status.started()
        failures = early = 0
        while True:
            self._meanwhile, self._missed = [], False
            try:
                found = await self._fetch()
            except ExchangeError as exc:
                self._failure = str(exc)
                if not failures:
                    log.warning(
                        "catalogue not refreshed, known tickers stay", tickers=len(self._names), reason=str(exc)
                    )
                await self._sleep(doubled(RETRY_SECONDS, failures, cap_seconds=LONGEST_RETRY_SECONDS))
                failures += 1
                continue
            self._replace(found)
            log.info("catalogue refreshed", tickers=len(self._names))
            self._compare()
            failures = 0
            early = early + 1 if await self._wait_for_next(early) else 0

    def _replace(self, found: Mapping[str, Instrument | None]) -> None:
        self._names = TickerIndex(found)
        self._instruments = {name: one for name, one in found.items() if one is not None}
        of_instruments = (one.price_index for one in self._instruments.values() if one.price_index)
        self._indices = TickerIndex({*filter(is_index, found), *of_instruments})
        self._fetched_at, self._failure = self._wall(), None
        self._bare.clear()
        meanwhile, self._meanwhile = self._meanwhile, None
        for change in meanwhile or ():
            self._apply(change)

    async def _wait_for_next(self, early: int) -> bool:
        """Sleep until the next fetch; returns whether it is early, as something may be missing."""
        now = fetched_at = self._wall()
        period = HOUR if self._unlisted else DAY
        due = now - now % period + period + 1
        pause = doubled(PAUSE_SECONDS, early, cap_seconds=HOUR)
        while now < due:
            if (self._missed or self._bare) and now - fetched_at >= pause:
                return True
            await self._sleep(min(CHECK_SECONDS, due - now))
            now = self._wall()
        return False


def _ignore(_: list[str]) -> None:
    """Do nothing."""
