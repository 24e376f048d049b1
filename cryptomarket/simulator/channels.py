"""The channels of the exchange: their names, when each has new data, and that data.

Pure functions of market and time; subscriptions are kept elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .catalogue import DAY_MS, EXPIRY_MS, NEVER_MS, SimulatedInstrument
from .charts import RESOLUTIONS, volatility_now
from .market import Market
from .random_walk import key_of, noise
from .switches import Switches
from .tickers import ticker_of
from .trades import book, book_change, last_trade, trade, trade_moments

__all__ = ["Channels", "SimulatedChannel", "event_channel", "of_channel"]


@dataclass(frozen=True, slots=True)
class SimulatedChannel:
    """A channel that is subscribed.

    ``moment`` says when it last changed (while it is the same, there is nothing to send), ``data`` what it said then;
    it is None for what only events tell. ``change`` is what there is to say of the time between two moments, where
    that is not the whole; it returns None where there is nothing. ``first`` is whether a subscriber gets the present at
    once; ``firsts`` returns what a subscriber of an event channel gets at once, one notification for each. ``spoken``
    is the name that notifications carry, ``key`` what tells a person's channel from another person's.
    """

    name: str
    moment: Callable[[int], int] | None = None
    data: Callable[[int], Any] = lambda _: None
    change: Callable[[int, int], Any] | None = None
    first: bool = True
    raw: bool = False
    interval_ms: int = 0
    spoken: str = ""
    label: str | None = None
    owner: str = ""
    firsts: Callable[[], list[Any]] | None = None

    @property
    def key(self) -> str:
        """The key under which the broadcaster keeps the channel."""
        return f"{self.name} of {self.owner} as {self.label}" if self.owner else self.name


def event_channel(name: str) -> SimulatedChannel:
    """Returns a channel that sends only events."""
    return SimulatedChannel(name, first=False, raw=name.endswith(".raw"))


_TICKER = re.compile(r"(ticker|perpetual)\.([^.]+)\.(raw|100ms|agg2)")
_INDEX = re.compile(
    r"(deribit_price_index|deribit_price_ranking|deribit_price_statistics|deribit_volatility_index"
    r"|estimated_expiration_price|markprice\.options)\.([a-z0-9_\-]+)"
)
_BOOK = re.compile(r"book\.([^.]+)\.(?:(none|\d+)\.(1|10|20)\.)?(raw|100ms|agg2)")
_CHART = re.compile(r"chart\.trades\.([^.]+)\.([0-9D]+)")
_KINDS = "any|future|option|spot|future_combo|option_combo"
_TRADES = re.compile(rf"trades\.(?:({_KINDS})\.([A-Za-z]+)|([A-Za-z0-9_\-]+))\.(raw|100ms|agg2)")
_EVENTS = re.compile(
    rf"platform_state(\.public_methods_state)?|announcements|block_rfq\.trades\.[A-Za-z]+"
    rf"|instrument\.(state|creation)\.({_KINDS})\.[A-Za-z]+"
)
_INTERVALS = {"raw": 0, "100ms": 100, "agg2": 1000}
_QUOTE = ("timestamp", "instrument_name", "best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount")


class Channels:
    """Resolves channel names against the market."""

    def __init__(self, market: Market, switches: Switches) -> None:
        self._market = market
        self._switches = switches

    def read(self, name: str, now_ms: int) -> SimulatedChannel | None:
        """Returns the channel of the name, or None: the exchange drops unknown names silently."""
        if _EVENTS.fullmatch(name):
            return event_channel(name)
        for read in (self._ticker, self._incremental, self._index, self._quote, self._book, self._chart, self._trades):
            channel = read(name, now_ms)
            if channel is not None:
                return channel
        return None

    def _find(self, name: str | Any, now_ms: int) -> SimulatedInstrument | None:
        return self._market.instruments(now_ms).get(name)

    def _moments(self, instrument: SimulatedInstrument) -> Callable[[int], int]:
        return lambda now_ms: self._market.moment(instrument.name, min(now_ms, instrument.expires))

    def _ticker(self, name: str, now_ms: int) -> SimulatedChannel | None:
        match = _TICKER.fullmatch(name)
        instrument = self._find(match[2], now_ms) if match else None
        if match is None or instrument is None or (match[1] == "perpetual" and not instrument.perpetual):
            return None
        market, interval = self._market, match[3]

        def ticker(moment: int) -> dict[str, Any]:
            data = ticker_of(market, instrument, moment)
            if self._switches.strings_for_numbers and data["last_price"] is None:
                data["last_price"] = "undefined"  # recorded 2022
            return data

        def interest(moment: int) -> dict[str, Any]:
            data = ticker_of(market, instrument, moment)
            return {"timestamp": moment, "interest": data["interest_value"], "index_price": data["index_price"]}

        data = ticker if match[1] == "ticker" else interest
        moments, every = self._moments(instrument), _INTERVALS[interval]
        return SimulatedChannel(name, moments, data, raw=interval == "raw", interval_ms=every)

    def _incremental(self, name: str, now_ms: int) -> SimulatedChannel | None:
        prefix, _, subject = name.partition(".")
        instrument = self._find(subject, now_ms) if prefix == "incremental_ticker" else None
        if instrument is None:
            return None
        market = self._market

        def change(moment: int, before: int) -> dict[str, Any]:
            now, then = ticker_of(market, instrument, moment), ticker_of(market, instrument, before)
            return {"type": "change", "instrument_name": instrument.name, "timestamp": now["timestamp"]} | _new(
                now, then
            )

        def snapshot(moment: int) -> dict[str, Any]:
            return {"type": "snapshot", **ticker_of(market, instrument, moment)}

        return SimulatedChannel(name, self._moments(instrument), snapshot, change, interval_ms=1000)

    def _index(self, name: str, now_ms: int) -> SimulatedChannel | None:
        match = _INDEX.fullmatch(name)
        if match is None or match[2] not in self._market.index_names:
            return None
        kind, index, market = match[1], match[2], self._market
        if kind == "deribit_volatility_index" and index not in ("btc_usd", "eth_usd"):
            return None
        data: dict[str, Callable[[int], Any]] = {
            "deribit_price_index": lambda moment: _index_price(market, index, moment),
            "deribit_price_ranking": lambda moment: _ranking(market, index, moment),
            "deribit_price_statistics": self._statistics(index),
            "deribit_volatility_index": lambda moment: _volatility(market, index, moment),
            "estimated_expiration_price": lambda moment: _expiration(market, index, moment),
            "markprice.options": lambda moment: _mark_prices(market, index, moment),
        }
        return SimulatedChannel(
            name, lambda moment: market.index_tick(index, moment)[0], data[kind], first=self._switches.first_values
        )

    def _statistics(self, index: str) -> Callable[[int], Any]:
        flag = "fast_market" if self._switches.fast_market else "high_volatility"

        def statistics(moment: int) -> dict[str, Any]:
            day = [self._market.index_price(index, moment - 3_600_000 * hour) for hour in range(25)]
            change = round(day[0] - day[-1], 6)
            return {"low24h": min(day), "index_name": index, flag: False, "high24h": max(day), "change24h": change}

        return statistics

    def _quote(self, name: str, now_ms: int) -> SimulatedChannel | None:
        prefix, _, subject = name.partition(".")
        instrument = self._find(subject, now_ms) if prefix == "quote" else None
        if instrument is None:
            return None

        def quote(moment: int) -> dict[str, Any]:
            data = ticker_of(self._market, instrument, moment)
            value = {field: data[field] for field in _QUOTE}
            return value if data["best_bid_amount"] else value | {"best_bid_price": None}

        return SimulatedChannel(name, self._moments(instrument), quote, first=self._switches.first_values)

    def _book(self, name: str, now_ms: int) -> SimulatedChannel | None:
        match = _BOOK.fullmatch(name)
        instrument = self._find(match[1], now_ms) if match else None
        if match is None or instrument is None:
            return None
        market, interval = self._market, _INTERVALS[match[4]]

        def head(moment: int) -> dict[str, Any]:
            return {"timestamp": moment, "instrument_name": instrument.name, "change_id": moment}

        def grouped(moment: int) -> dict[str, Any]:
            bids, asks = book(market, instrument, moment, int(match[3]))
            return head(moment) | {"bids": bids, "asks": asks}

        def snapshot(moment: int) -> dict[str, Any]:
            bids, asks = book(market, instrument, moment)
            sides = {"bids": [["new", *row] for row in bids], "asks": [["new", *row] for row in asks]}
            return {"type": "snapshot"} | head(moment) | sides

        def change(moment: int, before: int) -> dict[str, Any] | None:
            old, new = book(market, instrument, before), book(market, instrument, moment)
            sides = {"bids": book_change(old[0], new[0]), "asks": book_change(old[1], new[1])}
            if not any(sides.values()):
                return None  # no recorded change is empty on both sides
            return {"type": "change"} | head(moment) | {"prev_change_id": before} | sides

        moments = self._moments(instrument)
        if match[3]:
            return SimulatedChannel(name, moments, grouped, interval_ms=interval)
        return SimulatedChannel(name, moments, snapshot, change, raw=match[4] == "raw", interval_ms=interval)

    def _chart(self, name: str, now_ms: int) -> SimulatedChannel | None:
        match = _CHART.fullmatch(name)
        instrument = self._find(match[1], now_ms) if match else None
        # Spot is routed to another venue: its trades and charts are invalid channels and vanish from the answer.
        if match is None or instrument is None or match[2] not in RESOLUTIONS or instrument.kind == "spot":
            return None
        step, market = RESOLUTIONS[match[2]], self._market

        def bar(moment: int) -> dict[str, Any]:
            tick = moment - moment % step
            prices = [market.mark_price(instrument, tick + (moment - tick) * part // 4) for part in range(5)]
            volume = round((moment - tick + 1) / 5000, 8)
            ends = {"open": prices[0], "low": min(prices), "high": max(prices), "close": prices[-1]}
            return {"volume": volume, "tick": tick, **ends, "cost": round(volume * prices[-1], 2)}

        return SimulatedChannel(
            name, lambda now: min(now, instrument.expires) // 1000 * 1000, bar, first=self._switches.first_values
        )

    def _trades(self, name: str, now_ms: int) -> SimulatedChannel | None:
        match = _TRADES.fullmatch(name)
        if match is None:
            return None
        kind, currency, subject, interval = match.groups()
        if subject is not None:
            instrument = self._find(subject, now_ms)
            if instrument is None or instrument.kind == "spot":
                return None
            traded: Callable[[int], list[SimulatedInstrument]] = lambda _: [instrument]  # noqa: E731
            ends = instrument.expires
        else:
            traded, ends = self._traded(kind, currency), NEVER_MS
        market = self._market

        def since(moment: int, before: int) -> list[dict[str, Any]] | None:
            rows = [
                trade(market, found, at)
                for found in traded(moment)
                for at in trade_moments(market, found, before + 1, min(moment, found.expires))
            ]
            return sorted(rows, key=lambda row: int(row["timestamp"])) or None

        return SimulatedChannel(
            name,
            lambda now: last_trade(market, traded(now), min(now, ends)),
            change=since,
            first=False,
            raw=interval == "raw",
            interval_ms=_INTERVALS[interval],
        )

    def _traded(self, kind: str, currency: str) -> Callable[[int], list[SimulatedInstrument]]:
        """Returns the instruments of a kind and a currency that are traded at a moment, those of each day anew."""
        listed: Mapping[str, SimulatedInstrument] = {}
        found: list[SimulatedInstrument] = []

        def traded(moment: int) -> list[SimulatedInstrument]:
            nonlocal listed, found
            today = self._market.instruments(moment)
            if today is not listed:
                listed = today
                found = [one for one in today.values() if one.kind != "spot" and of_channel(one, kind, currency)]
            return found

        return traded


def of_channel(instrument: SimulatedInstrument, kind: str, currency: str) -> bool:
    """Whether a channel of a kind and a currency, either of which may be ``any``, tells of the instrument."""
    return kind in (instrument.kind, "any") and currency.upper() in (instrument.currency, "ANY")


def _new(now: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields that changed, including nested ones."""
    rows: dict[str, Any] = {}
    for name, value in now.items():
        if isinstance(value, dict):
            inner = _new(value, then.get(name) or {})
            if inner:
                rows[name] = inner
        elif name not in then or then[name] != value:
            rows[name] = value
    return rows


def _index_price(market: Market, index: str, moment: int) -> dict[str, Any]:
    at, price = market.index_tick(index, moment)
    return {"timestamp": at, "price": price, "index_name": index}


def _volatility(market: Market, index: str, moment: int) -> dict[str, Any]:
    return {"volatility": volatility_now(market, index[:3], moment), "timestamp": moment, "index_name": index}


def _expiration(market: Market, index: str, moment: int) -> dict[str, Any]:
    seconds = (DAY_MS - (moment - EXPIRY_MS) % DAY_MS) // 1000
    return {"seconds": seconds, "price": market.index_price(index, moment), "is_estimated": False}


def _mark_prices(market: Market, index: str, moment: int) -> list[dict[str, Any]]:
    """The mark price of every option of an index; ``iv`` is a fraction here, unlike in tickers."""
    rows: list[dict[str, Any]] = []
    for found in market.instruments(moment).values():
        if found.kind == "option" and found.price_index == index:
            value = market.option(found, moment)
            iv = round(value["mark_iv"] / 100, 4)
            rows.append({"mark_price": value["mark_price"], "iv": iv, "instrument_name": found.name})
    return rows


def _ranking(market: Market, index: str, moment: int) -> list[dict[str, Any]]:
    at, price = market.index_tick(index, moment)
    rows: list[dict[str, Any]] = []
    for place, venue in enumerate(("bitfinex", "bitstamp", "coinbase", "gemini", "kraken")):
        value = round(price * (1 + noise(key_of(market.seed, venue), at) * 1e-4), 2)
        weight = 25.0 if place else 0
        row = {"weight": weight, "timestamp": at - 37 * place, "price": value, "original_price": value}
        rows.append(row | {"identifier": venue, "enabled": place > 0})
    return rows
