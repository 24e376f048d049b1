"""The indices, currencies and instruments listed on a given day, as plain values.

Expiries follow the calendar of the real one: every day, every Friday and the last Friday of a quarter, at 08:00 UTC.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .encoding import DecimalFloat

__all__ = [
    "COINS",
    "CURRENCIES",
    "INDICES",
    "Coin",
    "SimulatedIndex",
    "SimulatedInstrument",
    "instruments_on",
    "parse_instrument",
]

#: The expiry of instruments that never expire: the year 3000.
NEVER_MS = 32503708800000
DAY_MS = 86_400_000
EXPIRY_MS = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin with an index; ``base`` is the price in dollars around which its random walk moves."""

    name: str
    base: float
    decimals: int
    volatility: float


@dataclass(frozen=True, slots=True)
class SimulatedIndex:
    """A price index: the price of a coin times a ratio, in the quote currency."""

    name: str
    coin: Coin
    ratio: float
    decimals: int


COINS = {
    coin.name: coin
    for coin in (
        Coin("btc", 83_000.0, 2, 0.024),
        Coin("eth", 2_670.0, 2, 0.034),
        Coin("sol", 142.0, 4, 0.045),
        Coin("xrp", 2.2, 4, 0.045),
        Coin("ada", 0.55, 4, 0.045),
        Coin("algo", 0.21, 4, 0.045),
        Coin("avax", 18.5, 4, 0.045),
        Coin("bch", 415.0, 2, 0.04),
        Coin("bnb", 610.0, 2, 0.03),
        Coin("doge", 0.17, 5, 0.05),
        Coin("dot", 4.1, 4, 0.045),
        Coin("link", 14.2, 4, 0.045),
        Coin("ltc", 88.0, 3, 0.04),
        Coin("near", 2.6, 4, 0.05),
        Coin("paxg", 3_950.0, 2, 0.01),
        Coin("shib", 0.0000132, 10, 0.05),
        Coin("ton", 3.1, 4, 0.045),
        Coin("trump", 9.2, 4, 0.07),
        Coin("trx", 0.27, 5, 0.03),
        Coin("uni", 6.4, 4, 0.05),
        Coin("steth", 2_668.0, 2, 0.034),
        Coin("usde", 1.0, 4, 0.0005),
        Coin("usdc", 1.0, 4, 0.0002),
        Coin("usdt", 1.0, 4, 0.0003),
        Coin("eurr", 1.16, 4, 0.004),
    )
}


#: The volatility indices, in percent points. The size of the moves keeps them between 30 and 90 for ever.
VOLATILITIES = (Coin("btcdvol", 45.0, 2, 0.03), Coin("ethdvol", 58.0, 2, 0.03))


def _indices() -> dict[str, SimulatedIndex]:
    found: list[SimulatedIndex] = []
    for coin in COINS.values():
        for quote, ratio in (("usd", 1.0), ("usdc", 1.0001), ("usdt", 0.9997)):
            if coin.name != quote:
                found.append(SimulatedIndex(f"{coin.name}_{quote}", coin, ratio, coin.decimals))
    btc, eth = COINS["btc"], COINS["eth"]
    found += [
        SimulatedIndex("drbfix-btc_usdc", btc, 1.0001, 2),
        SimulatedIndex("drbfix-eth_usdc", eth, 1.0001, 2),
        SimulatedIndex("eth_btc", eth, 1 / btc.base, 6),
        SimulatedIndex("btc_eurr", btc, 1 / 1.16, 2),
        SimulatedIndex("eth_eurr", eth, 1 / 1.16, 2),
        SimulatedIndex("1000shib_usdc", COINS["shib"], 1000.0, 6),
        *(SimulatedIndex(f"{volatility.name}_usdc", volatility, 1.0, 2) for volatility in VOLATILITIES),
    ]
    return {index.name: index for index in found}


INDICES = _indices()


@dataclass(frozen=True, slots=True)
class SimulatedInstrument:
    """A listed instrument. Only options have ``strike`` and ``option_type``; ``expires`` is UNIX ms."""

    name: str
    kind: str
    coin: str
    price_index: str
    tick_size: float
    identifier: int
    settlement_period: str = ""
    created: int = 1534167754000
    expires: int = NEVER_MS
    strike: float = 0.0
    option_type: str = ""

    @property
    def perpetual(self) -> bool:
        """Whether it is a future that never expires."""
        return self.settlement_period == "perpetual"

    @property
    def linear(self) -> bool:
        """Whether it settles in a stable coin; its name has an underscore."""
        return "_" in self.name

    def json(self, state: str = "open") -> dict[str, Any]:
        """The instrument object of get_instruments, with the fields of 2026."""
        coin = self.coin.upper()
        quote = "USDC" if self.linear else coin if self.kind == "option" else "USD"
        size = 1.0 if self.kind == "option" else 0.0001 if self.linear else 10.0 if self.coin == "btc" else 1.0
        value: dict[str, Any] = {
            "min_trade_amount": 0.1 if self.kind == "option" and self.coin == "btc" else size,
            "block_trade_tick_size": DecimalFloat(0.01 if self.kind == "future" else 0.0001),
            "underlying_type": "crypto",
            "instrument_id": self.identifier,
            "is_active": state != "closed",
            "price_index": self.price_index,
            "state": state,
            "block_trade_min_trade_amount": 25 if self.kind == "option" else 200000,
            "taker_commission": DecimalFloat(0.0005),
            "base_currency": coin,
            "base_currency_uuid": _uuid(coin),
            "quote_currency_uuid": _uuid(quote),
            "contract_size": size,
            "kind": self.kind,
            "tick_size_steps": [],
            "expiration_timestamp": self.expires,
            "instrument_name": self.name,
            "block_trade_commission": DecimalFloat(0.00025),
            "creation_timestamp": self.created,
            "index_id": 1000033 if self.coin == "btc" else 1000034,
            "product_group": coin,
            "instrument_type": "linear" if self.linear else "reversed",
            "counter_currency": "USDC" if self.linear else "USD",
            "tick_size": self.tick_size,
            "maker_commission": DecimalFloat(0.0),
            "quote_currency": quote,
            "lot_size": 1,
        }
        return value | self._of_kind(coin)

    def _of_kind(self, coin: str) -> dict[str, Any]:
        if self.kind == "spot":
            return {"is_cbe_routed": False}
        settled = {"settlement_currency": "USDC" if self.linear else coin, "settlement_period": self.settlement_period}
        if self.kind == "option":
            return settled | {"strike": self.strike, "option_type": self.option_type}
        return settled | {
            "max_leverage": 50 if self.perpetual else 25,
            "max_non_default_leverage": 5.0,
            "future_type": "linear" if self.linear else "reversed",
            "max_liquidation_commission": DecimalFloat(0.0075),
        }


def instruments_on(now_ms: int) -> dict[str, SimulatedInstrument]:
    """Returns the instruments that have not expired at the moment (UNIX ms), by name."""
    found: list[SimulatedInstrument] = [
        SimulatedInstrument("BTC-PERPETUAL", "future", "btc", "btc_usd", 0.5, 124972, "perpetual"),
        SimulatedInstrument(
            "ETH-PERPETUAL", "future", "eth", "eth_usd", 0.05, 124973, "perpetual", created=1552568454000
        ),
        SimulatedInstrument("SOL_USDC-PERPETUAL", "future", "sol", "sol_usdc", 0.01, 124974, "perpetual"),
        SimulatedInstrument("BTC_USDC-PERPETUAL", "future", "btc", "btc_usdc", 0.5, 124977, "perpetual"),
        SimulatedInstrument("ETH_USDC-PERPETUAL", "future", "eth", "eth_usdc", 0.05, 124978, "perpetual"),
        SimulatedInstrument("BTC_USDC", "spot", "btc", "btc_usdc", 0.5, 124975),
        SimulatedInstrument("ETH_USDC", "spot", "eth", "eth_usdc", 0.05, 124976),
    ]
    for period, expiry in _expiries(now_ms):
        for coin in ("btc", "eth"):
            future = f"{coin.upper()}-{_date(expiry)}"
            found.append(_made(future, coin, period, expiry))
            base = COINS[coin].base
            step = 2000 if coin == "btc" else 100
            middle = round(base / step) * step
            # The farthest strike has no trade and no bid: nulls and zeros, as on the real exchange.
            strikes = [middle + step * steps for steps in (-8, -4, -2, -1, 0, 1, 2, 4, 8, 30)]
            found += [
                _made(f"{future}-{strike}-{side}", coin, period, expiry, str(strike), side)
                for strike in strikes
                for side in "CP"
            ]
    return {instrument.name: instrument for instrument in found}


_NAME = re.compile(
    r"(?P<coin>[A-Z0-9]+)(?P<linear>_USDC)?-(?P<date>\d{1,2}[A-Z]{3}\d\d)(-(?P<strike>[\dd]+)-(?P<side>[CP]))?"
)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def parse_instrument(name: str) -> SimulatedInstrument | None:
    """Returns the instrument that a dated name describes, listed or not; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        month = _MONTHS.index(match["date"][-5:-2]) + 1
        expiry = datetime(2000 + int(match["date"][-2:]), month, int(match["date"][:-5]), 8, tzinfo=UTC)
    except ValueError:
        return None
    strike, side = match["strike"], match["side"]
    coin, linear = match["coin"].lower(), match["linear"] is not None
    return _made(name, coin, "month", int(expiry.timestamp()) * 1000, strike, side, linear)


def _made(
    name: str, coin: str, period: str, expiry: int, strike: str = "", side: str = "", linear: bool = False
) -> SimulatedInstrument:
    option = bool(side)
    return SimulatedInstrument(
        name,
        "option" if option else "future",
        coin,
        f"{coin}_usdc" if linear else f"{coin}_usd",
        0.0005 if option else 2.5 if coin == "btc" else 0.25,
        # The same in every run, unlike hash(); real ids have six digits too.
        200_000 + sum(ord(letter) * 31**place for place, letter in enumerate(name)) % 700_000,
        period,
        expiry - 90 * DAY_MS,
        expiry,
        float(strike.replace("d", ".")) if option else 0.0,
        {"C": "call", "P": "put"}[side] if option else "",
    )


def _expiries(now_ms: int) -> list[tuple[str, int]]:
    """The next daily expiry, the weekly one after it and the quarterly one after that: three on any day of the year."""
    first = (now_ms - EXPIRY_MS) // DAY_MS * DAY_MS + EXPIRY_MS + DAY_MS
    day = datetime.fromtimestamp(first / 1000, UTC)
    weekly = day + timedelta(days=(3 - day.weekday()) % 7 + 1)
    quarterly = weekly + timedelta(days=7)
    while not (quarterly.month % 3 == 0 and (quarterly + timedelta(days=7)).month != quarterly.month):
        quarterly += timedelta(days=7)
    found = (("day", day), ("week", weekly), ("month", quarterly))
    return [(period, int(moment.timestamp()) * 1000) for period, moment in found]


def _date(expiry_ms: int) -> str:
    moment = datetime.fromtimestamp(expiry_ms / 1000, UTC)
    return f"{moment.day}{_MONTHS[moment.month - 1]}{moment.year % 100:02d}"


def _uuid(name: str) -> str:
    """The identifier of a currency, the same in every run."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-540c-{digits[12:16]}-{digits[16:28]}"


def _currency(name: str, long_name: str, kind: str, decimals: int) -> dict[str, Any]:
    return {
        "currency": name,
        "currency_long": long_name,
        "coin_type": kind,
        "decimals": decimals,
        "min_confirmations": 1,
        "withdrawal_fee": 0.0001,
        "min_withdrawal_fee": 0.0001,
        "network_fee": 0.0001,
        "network_currency": name,
        "apr": 0.0,
        "in_cross_collateral_pool": name != "ETHW",
        "withdrawal_priorities": [{"value": 0.15, "name": "very_low"}, {"value": 1.5, "name": "very_high"}],
        "currency_uuid": _uuid(name),
    }


CURRENCIES = [
    _currency("BTC", "Bitcoin", "BITCOIN", 8),
    _currency("ETH", "Ethereum", "ETHER", 6),
    _currency("USDC", "USD Coin", "USDC", 6),
    _currency("USDT", "Tether USD", "USDT", 6),
    _currency("EURR", "StablR Euro", "EURR", 6),
    _currency("SOL", "Solana", "SOL", 6),
    _currency("XRP", "XRP", "XRP", 6),
]
