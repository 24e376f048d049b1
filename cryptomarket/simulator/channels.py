"""The channels of the exchange: which names it knows, when each has something new, and what it then says.

Every answer is a pure function of market and time; who is subscribed is none of its business.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .charts import RESOLUTIONS, volatility_now
from .market import Market
from .switches import Switches
from .walk import key_of, noise

__all__ = ["Channel", "Channels"]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel somebody subscribed to.

    ``moment`` says when it last changed (while it is the same, there is nothing to send) and ``data`` what it says;
    ``first`` is whether a subscriber gets the present value at once. ``moment`` is None for what only events tell.
    """

    name: str
    moment: Callable[[int], int] | None
    data: Callable[[int], Any]
    first: bool = True
    raw: bool = False
    private: bool = False
    interval_ms: int = 0
    subject: str = ""


_TICKER = re.compile(r"(ticker|perpetual)\.([^.]+)\.(raw|100ms|agg2)")
_INDEX = re.compile(
    r"(deribit_price_index|deribit_price_ranking|deribit_price_statistics|deribit_volatility_index"
    r"|estimated_expiration_price)\.([a-z0-9_\-]+)"
)
_BOOK = re.compile(r"book\.([^.]+)\.(?:([^.]+)\.(1|10|20)\.)?(raw|100ms|agg2)")
_CHART = re.compile(r"chart\.trades\.([^.]+)\.([0-9D]+)")
_TRADES = re.compile(
    r"trades\.(?:([A-Za-z0-9_\-]+)|(future|option|spot|future_combo|option_combo|any)\.([A-Za-z]+))"
    r"\.(raw|100ms|agg2)"
)
_INTERVALS = {"raw": 1, "100ms": 100, "agg2": 1000}


class Channels:
    """Reads channel names against the market."""

    def __init__(self, market: Market, switches: Switches) -> None:
        self._market = market
        self._switches = switches

    def read(self, name: str, now_ms: int) -> Channel | None:
        """The channel of that name, or None: the exchange drops unknown names without a word."""
        for read in (self._ticker, self._index, self._quote, self._chart, self._event):
            channel = read(name, now_ms)
            if channel is not None:
                return channel
        return None

    def _ticker(self, name: str, now_ms: int) -> Channel | None:
        match = _TICKER.fullmatch(name)
        instrument = self._market.instruments(now_ms).get(match[2]) if match else None
        if match is None or instrument is None or (match[1] == "perpetual" and not instrument.perpetual):
            return None
        market, interval = self._market, _INTERVALS[match[3]]

        def ticker(moment: int) -> dict[str, Any]:
            data = market.ticker(instrument, moment)
            if self._switches.strings_for_numbers and data["last_price"] is None:
                data["last_price"] = "undefined"  # recorded 2022
            return data

        def interest(moment: int) -> dict[str, Any]:
            data = market.ticker(instrument, moment)
            return {"timestamp": moment, "interest": data["interest_value"], "index_price": data["index_price"]}

        return Channel(
            name,
            lambda moment: market.moment(instrument.name, moment),
            ticker if match[1] == "ticker" else interest,
            raw=match[3] == "raw",
            interval_ms=interval,
            subject=instrument.name,
        )

    def _index(self, name: str, now_ms: int) -> Channel | None:
        match = _INDEX.fullmatch(name)
        if match is None or match[2] not in self._market.index_names:
            return None
        kind, index, market = match[1], match[2], self._market
        if kind == "deribit_volatility_index" and index not in ("btc_usd", "eth_usd"):
            return None

        def price(moment: int) -> dict[str, Any]:
            at, value = market.index_tick(index, moment)
            return {"timestamp": at, "price": value, "index_name": index}

        def volatility(moment: int) -> dict[str, Any]:
            value = volatility_now(market, index[:3], moment - moment % 1000)
            return {"volatility": value, "timestamp": moment, "index_name": index}

        def expiration(moment: int) -> dict[str, Any]:
            value = market.index_price(index, moment)
            seconds = 86_400 - (moment // 1000 - 28_800) % 86_400
            return {"seconds": seconds, "price": value, "is_estimated": False}

        data = {
            "deribit_price_index": price,
            "deribit_price_ranking": lambda moment: self._ranking(index, moment),
            "deribit_price_statistics": lambda moment: self._statistics(index, moment),
            "deribit_volatility_index": volatility,
            "estimated_expiration_price": expiration,
        }[kind]
        return Channel(
            name, lambda moment: market.index_tick(index, moment)[0], data, self._switches.first_values, subject=index
        )

    def _ranking(self, index: str, moment: int) -> list[dict[str, Any]]:
        at, price = self._market.index_tick(index, moment)
        rows: list[dict[str, Any]] = []
        for place, venue in enumerate(("bitfinex", "bitstamp", "coinbase", "gemini", "kraken")):
            value = round(price * (1 + noise(key_of(self._market.seed, venue), at) * 1e-4), 2)
            stamp = at - 37 * place
            rows.append(
                {
                    "weight": 0 if place == 0 else 25.0,
                    "timestamp": stamp,
                    "price": value,
                    "original_price": value,
                    "identifier": venue,
                    "enabled": place > 0,
                }
            )
        return rows

    def _statistics(self, index: str, moment: int) -> dict[str, Any]:
        day = [self._market.index_price(index, moment - 3_600_000 * hour) for hour in range(25)]
        flag = "fast_market" if self._switches.fast_market else "high_volatility"
        return {
            "low24h": min(day),
            "index_name": index,
            flag: False,
            "high24h": max(day),
            "change24h": round(day[0] - day[-1], 6),
        }

    def _quote(self, name: str, now_ms: int) -> Channel | None:
        prefix, _, instrument_name = name.partition(".")
        instrument = self._market.instruments(now_ms).get(instrument_name) if prefix == "quote" else None
        if instrument is None:
            return None
        fields = (
            "timestamp",
            "instrument_name",
            "best_bid_price",
            "best_bid_amount",
            "best_ask_price",
            "best_ask_amount",
        )

        def quote(moment: int) -> dict[str, Any]:
            data = self._market.ticker(instrument, moment)
            value = {field: data[field] for field in fields}
            return value if data["best_bid_amount"] else value | {"best_bid_price": None}

        return Channel(
            name,
            lambda moment: self._market.moment(instrument.name, moment),
            quote,
            self._switches.first_values,
            interval_ms=100,
            subject=instrument.name,
        )

    def _chart(self, name: str, now_ms: int) -> Channel | None:
        match = _CHART.fullmatch(name)
        instrument = self._market.instruments(now_ms).get(match[1]) if match else None
        if match is None or instrument is None or match[2] not in RESOLUTIONS or instrument.kind == "spot":
            return None
        step, market = RESOLUTIONS[match[2]], self._market

        def bar(moment: int) -> dict[str, Any]:
            tick = moment - moment % step
            parts = [market.mark_price(instrument, tick + (moment - tick) * part // 4) for part in range(5)]
            volume = round((moment - tick + 1) / 5000, 8)
            return {
                "volume": volume,
                "tick": tick,
                "open": parts[0],
                "low": min(parts),
                "high": max(parts),
                "cost": round(volume * parts[-1], 2),
                "close": parts[-1],
            }

        return Channel(
            name, lambda moment: moment - moment % 1000, bar, self._switches.first_values, subject=instrument.name
        )

    def _event(self, name: str, now_ms: int) -> Channel | None:
        """Channels that speak when something happens: trades, states, the platform, a person's account."""
        trades = _TRADES.fullmatch(name)
        if trades is not None and (trades[2] or trades[1] in self._market.instruments(now_ms)):
            subject = trades[1] or ""
            instrument = self._market.instruments(now_ms).get(subject)
            # Spot is routed to another venue: its trades are an invalid channel and vanish from the answer.
            if instrument is not None and instrument.kind == "spot":
                return None
            return Channel(name, None, lambda _: None, first=False, raw=trades[4] == "raw", subject=subject)
        if name in ("platform_state", "platform_state.public_methods_state", "announcements"):
            return Channel(name, None, lambda _: None, first=False)
        if re.fullmatch(r"instrument\.state\.(any|future|option|spot|future_combo|option_combo)\.[A-Za-z]+", name):
            return Channel(name, None, lambda _: None, first=False)
        if re.fullmatch(
            r"user\.(portfolio\.[A-Za-z]+|lock|access_log|(orders|trades|changes)\.[A-Za-z0-9_.\-]+)", name
        ):
            return Channel(name, None, lambda _: None, first=False, private=True)
        return None
