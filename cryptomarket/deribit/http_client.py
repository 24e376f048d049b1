"""The exchange over HTTP: the catalogue and past prices, whose answers are too large for the one WebSocket."""

import random as random_module
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel
import msgspec

from ..backoff import delays
from ..errors import ExchangeRefused, ExchangeUnreachable
from ..model import Instrument, Tick, is_index
from .channels import is_ticker
from .error_codes import Action, error_code
from .http_transport import HttpTransport
from .instrument_states import StateMeaning, meaning_of
from .instruments import InstrumentData
from .messages import ErrorBody, UnreadableMessage, decode_as, number, read_price
from .rate_limit import RateLimiter, group_of
from .upstream_clock import UpstreamClock

__all__ = ["ChartBar", "ChartRange", "HttpClient", "result_of"]

#: Requests of each second that are left to the connection, whose subscriptions and persons go first.
SPARED_PER_SECOND = 4

#: Instruments that are decoded at once, which takes a few milliseconds.
INSTRUMENTS_AT_ONCE = 500

_T = TypeVar("_T")

ChartRange = str  # one of 1h 1d 2d 1m 1y all


class _Reply(msgspec.Struct, frozen=True):
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    us_out: int | None = msgspec.field(name="usOut", default=None)


class _IndexPrice(msgspec.Struct, frozen=True):
    """The present price of an index; it carries no time stamp."""

    index_price: msgspec.Raw


class _Status(msgspec.Struct, frozen=True):
    """Which indices are locked: ``locked`` is ``true`` for all, ``partial`` for those listed, or ``false``."""

    locked: str | bool = "false"
    locked_indices: list[str] = []


class _Chart(msgspec.Struct, frozen=True):
    """Parallel columns; all are empty when ``status`` is ``no_data``."""

    ticks: list[int] = []
    open: list[msgspec.Raw] = []
    high: list[msgspec.Raw] = []
    low: list[msgspec.Raw] = []
    close: list[msgspec.Raw] = []


class _Volatility(msgspec.Struct, frozen=True):
    """Bars of (ms, open, high, low, close), and the timestamp at which older ones continue."""

    data: list[tuple[float, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw]] = []
    continuation: int | None = None


@dataclass(frozen=True, slots=True)
class ChartBar:
    """The trades of an instrument within one step, which begins at the timestamp (UNIX ms)."""

    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


def _bar(stamp: int, *prices: msgspec.Raw) -> ChartBar | None:
    """The bar, or None when a price is missing or lies outside its high and low."""
    opened, high, low, closed = (number(price) for price in prices)
    if opened is None or high is None or low is None or closed is None:
        return None
    sane = low <= min(opened, closed) and max(opened, closed) <= high
    return ChartBar(stamp, opened, high, low, closed) if sane else None


def result_of(method: str, status: int, body: bytes) -> tuple[msgspec.Raw, int | None]:
    """The result in an HTTP answer, and the time of the answer by the exchange's clock (UNIX ms).

    Raises ExchangeRefused for an error code of the exchange, ExchangeUnreachable for anything else without a result.
    """
    try:
        answer = decode_as(_Reply, body)
        error = decode_as(ErrorBody, answer.error) if answer.error is not msgspec.UNSET else None
    except UnreadableMessage:
        # A gateway in front of the exchange answers in HTML while it is away.
        raise ExchangeUnreachable(f"{method}: HTTP {status} without a readable answer") from None
    if error is not None:
        raise ExchangeRefused(method, error.code, error.message, error.reason, retry_after=error.retry_after)
    if status >= 400 or answer.result is msgspec.UNSET:
        raise ExchangeUnreachable(f"{method}: HTTP {status} without a result")
    return answer.result, None if answer.us_out is None else answer.us_out // 1000


class HttpClient:
    """Public calls over HTTP, an async context manager; passing failures are retried a few times.

    Each answer tells ``clock`` the exchange's time.

    Every call raises ExchangeRefused for an error code of the exchange, and ExchangeUnreachable otherwise.
    """

    def __init__(
        self,
        http_url: str,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        budget: RateLimiter | None = None,
        timeout_seconds: float = 30.0,
        tries: int = 3,
        clock: UpstreamClock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._url = http_url.rstrip("/")
        self._tries = tries
        self._clock = clock or UpstreamClock(monotonic=monotonic)
        self._monotonic = monotonic
        self._random = random
        self._http = HttpTransport(
            proxy=proxy, ca_file=ca_file, budget=budget, timeout_seconds=timeout_seconds, monotonic=monotonic
        )

    def __repr__(self) -> str:
        return f"<HttpClient {self._url}>"

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def call(self, method: str, **params: str | int | bool) -> msgspec.Raw:
        """The raw result of a public call."""
        return (await self._timed_call(method, **params))[0]

    async def _timed_call(self, method: str, **params: str | int | bool) -> tuple[msgspec.Raw, int | None]:
        pauses = delays(random=self._random)
        for left in reversed(range(self._tries)):
            try:
                return await self._once(method, params)
            except (ExchangeRefused, ExchangeUnreachable) as exc:
                if not left or not self._passing(exc):
                    raise
            await anyio.sleep(next(pauses))
        raise AssertionError("at least one try")  # pragma: no cover

    def _passing(self, error: ExchangeRefused | ExchangeUnreachable) -> bool:
        if isinstance(error, ExchangeUnreachable):
            return True
        if error.code == 10028:
            self._http.slow_down(error.retry_after)
        return error_code(error.code).action in (Action.RETRY, Action.SLOW_DOWN)

    async def _once(self, method: str, params: dict[str, Any]) -> tuple[msgspec.Raw, int | None]:
        words = {key: str(value).lower() if isinstance(value, bool) else value for key, value in params.items()}
        answer = await self._http.request(
            method,
            "GET",
            f"{self._url}/{method}",
            group=group_of(method),
            spared=SPARED_PER_SECOND,
            params=words,
        )
        raw, answered = result_of(method, answer.status, answer.body)
        if answered is not None:
            self._clock.answered(answered * 1000, answer.sent, self._monotonic())
        return raw, answered

    async def tickers(self) -> dict[str, Instrument | None]:
        """Every instrument that is listed now, and every index, of which there is no more to say, by name."""
        indices = await self.index_names()
        instruments = await self.instruments()
        return {name: None for name in indices if is_ticker(name)} | {one.name: one for one in instruments}

    async def index_names(self) -> list[str]:
        """The names of all indices."""
        return self._typed("public/get_index_price_names", list[str], await self.call("public/get_index_price_names"))

    async def instruments(self, currency: str = "any") -> list[Instrument]:
        """All instruments of a currency that have not ended, without those that cannot be read."""
        method = "public/get_instruments"
        found = []
        raws = self._typed(method, list[msgspec.Raw], await self.call(method, currency=currency, expired=False))
        for place, raw in enumerate(raws):
            if place % INSTRUMENTS_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()  # streams go on while some thousands are decoded
            try:
                data = decode_as(InstrumentData, raw)
            except UnreadableMessage:
                continue
            if is_ticker(data.instrument_name) and meaning_of(data.state or "") is not StateMeaning.ENDED:
                found.append(data.instrument())
        return found

    async def newest(self, ticker: str) -> Tick | None:
        """The present price of a ticker, None while it has none.

        The price of an index comes without a time; its tick has the time of the answer, by the exchange's clock.
        """
        if not is_index(ticker):
            method = "public/ticker"
            raw = await self.call(method, instrument_name=ticker)
            try:
                return read_price(ticker, raw).tick
            except UnreadableMessage as exc:
                raise ExchangeUnreachable(f"{method}: {exc}") from None
        method = "public/get_index_price"
        raw, answered = await self._timed_call(method, index_name=ticker)
        price = number(self._typed(method, _IndexPrice, raw).index_price)
        return Tick(ticker, price, answered) if answered is not None and price is not None and price > 0 else None

    async def locked(self, indices: Collection[str]) -> frozenset[str]:
        """Those of the indices that the exchange has locked now: the prices it returns of them stand still."""
        method = "public/status"
        status = self._typed(method, _Status, await self.call(method))
        return frozenset(indices) if status.locked in (True, "true") else frozenset(indices) & {*status.locked_indices}

    async def index_chart(self, index: str, chart_range: ChartRange = "1h") -> list[tuple[int, Decimal]]:
        """Average prices of an index, oldest first, as (UNIX ms, price); points without a price are left out."""
        method = "public/get_index_chart_data"
        raw = await self.call(method, index_name=index, range=chart_range)
        points = self._typed(method, list[tuple[float, msgspec.Raw]], raw)
        priced = ((int(stamp), number(price)) for stamp, price in points)
        return sorted((stamp, price) for stamp, price in priced if price is not None)

    async def bars(self, instrument: str, start: int, end: int, *, minutes: int = 1) -> list[ChartBar]:
        """The bars of an instrument that start within [start, end), UNIX ms, oldest first.

        Requests one step more at the front and cuts it off, because the exchange sometimes omits the very first bar.
        A bar that contradicts itself is left out: a gap is better than a wrong price.
        """
        method, step = "public/get_tradingview_chart_data", minutes * 60_000
        bounds = {"start_timestamp": start - step, "end_timestamp": end}
        raw = await self.call(method, instrument_name=instrument, resolution=str(minutes), **bounds)
        chart = self._typed(method, _Chart, raw)
        columns = (chart.ticks, chart.open, chart.high, chart.low, chart.close)
        if len({len(column) for column in columns}) != 1:
            raise ExchangeUnreachable(f"{method}: the columns of the chart do not match")
        bars = (_bar(*row) for row in zip(*columns, strict=True))
        return sorted((bar for bar in bars if bar and start <= bar.timestamp < end), key=lambda bar: bar.timestamp)

    async def volatility(self, currency: str, start: int, end: int) -> list[tuple[int, Decimal]]:
        """The volatility index by the minute, oldest first, as (the minute's last UNIX ms, its last value).

        The exchange returns at most a thousand bars, the newest ones, and the timestamp at which older ones continue.
        """
        method = "public/get_volatility_index_data"
        points: dict[int, Decimal] = {}
        until: int | None = end
        while until is not None and until > start:
            bounds: dict[str, str | int] = {"start_timestamp": start, "end_timestamp": until, "resolution": "60"}
            found = self._typed(method, _Volatility, await self.call(method, currency=currency, **bounds))
            for stamp, *_, close in found.data:
                value = number(close)
                if value is not None and start <= stamp < end:
                    points[int(stamp) + 59_999] = value
            until = found.continuation if found.continuation is not None and found.continuation < until else None
        return sorted(points.items())

    def _typed(self, method: str, kind: type[_T], raw: msgspec.Raw) -> _T:
        try:
            return decode_as(kind, raw)
        except UnreadableMessage as exc:
            raise ExchangeUnreachable(f"{method}: {exc}") from None
