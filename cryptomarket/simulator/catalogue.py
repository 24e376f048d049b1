"""Instruments as plain values: what an instrument is, its name, and its object in the catalogue of the exchange."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..statements.catalogue import EXPIRY_HOUR, PERPETUAL_EXPIRES
from .encoding import DecimalFloat
from .indices import COINS, INDICES

__all__ = [
    "DAY_MS",
    "EXPIRY_MS",
    "NEVER_MS",
    "SimulatedInstrument",
    "combo",
    "date_of",
    "dated",
    "parse_instrument",
    "uuid_of",
]

#: The expiry of instruments that never expire: the year 3000.
NEVER_MS = PERPETUAL_EXPIRES.value
DAY_MS = 86_400_000
#: When instruments expire and are settled: 08:00 UTC, in ms after midnight.
EXPIRY_MS = EXPIRY_HOUR.value * 3_600_000

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class SimulatedInstrument:
    """A listed instrument. Only options have ``strike`` and ``option_type``, only combos ``legs``.

    ``expires`` is UNIX ms; a leg is an amount, negative where it is sold, and an instrument.
    """

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
    legs: "tuple[tuple[int, SimulatedInstrument], ...]" = ()

    @property
    def perpetual(self) -> bool:
        """Whether it is a future that never expires."""
        return self.settlement_period == "perpetual"

    @property
    def linear(self) -> bool:
        """Whether it settles in a stable coin; its name has an underscore in the first part."""
        return "_" in self.name.partition("-")[0]

    @property
    def currency(self) -> str:
        """The currency that it settles in, which lists and channels of a currency go by."""
        return "USDC" if self.linear else self.coin.upper()

    @property
    def quote_currency(self) -> str:
        """The currency that it is priced in."""
        if self.linear:
            return "USDC"
        return self.coin.upper() if self.kind.startswith("option") else "USD"

    @property
    def number_prefix(self) -> str:
        """What the numbers of its orders and trades begin with: they are counted by currency, BTC without a prefix."""
        return "" if self.currency == "BTC" else f"{self.currency}-"

    @property
    def contract_size(self) -> float:
        """The amount of one contract: dollars of inverse futures, else coins."""
        if self.kind.startswith("option"):
            return 1.0
        return 0.0001 if self.linear else 10.0 if self.coin == "btc" else 1.0

    @property
    def min_trade_amount(self) -> float:
        """The smallest amount of an order."""
        return 0.1 if self.kind.startswith("option") and self.coin == "btc" else self.contract_size

    @property
    def tick_size_steps(self) -> list[dict[str, float]]:
        """Coarser ticks of higher prices, the lowest first; only options have them."""
        if self.kind != "option":
            return []
        above = self.tick_size * 50
        return [{"above_price": round(above, 6), "tick_size": round(self.tick_size * 5, 6)}]

    def on_tick(self, price: float) -> float:
        """Returns the price on the grid of the tick size."""
        tick = self.tick_size
        for step in self.tick_size_steps:
            tick = step["tick_size"] if abs(price) > step["above_price"] else tick
        return round(round(price / tick) * tick, 10)

    def json(self, state: str = "open") -> dict[str, Any]:
        """The instrument object of get_instruments, get_instrument and instrument.creation, with the fields of 2026."""
        coin = self.coin.upper()
        option = self.kind.startswith("option")
        value: dict[str, Any] = {
            "min_trade_amount": self.min_trade_amount,
            "block_trade_tick_size": DecimalFloat(0.0001 if option else 0.01),
            "underlying_type": "crypto",
            "instrument_id": self.identifier,
            "is_active": state not in ("closed", "inactive", "delivered", "archivized"),
            "price_index": self.price_index,
            "state": state,
            "block_trade_min_trade_amount": 25 if option else 200000,
            "taker_commission": DecimalFloat(0.0005),
            "base_currency": coin,
            "base_currency_uuid": uuid_of(coin),
            "quote_currency_uuid": uuid_of(self.quote_currency),
            "contract_size": self.contract_size,
            "kind": self.kind,
            "tick_size_steps": self.tick_size_steps,
            "expiration_timestamp": self.expires,
            "instrument_name": self.name,
            "block_trade_commission": DecimalFloat(0.00025),
            "creation_timestamp": self.created,
            "index_id": 1_000_033 + list(INDICES).index(self.price_index),
            "product_group": coin,
            "instrument_type": "linear" if self.linear else "reversed",
            "counter_currency": "USDC" if self.linear else "USD",
            "tick_size": self.tick_size,
            "maker_commission": DecimalFloat(0.0),
            "quote_currency": self.quote_currency,
            "lot_size": 1,
        }
        return value | self._of_kind()

    def _of_kind(self) -> dict[str, Any]:
        if self.kind == "spot":
            return {"is_cbe_routed": False}
        settled = {"settlement_currency": self.currency, "settlement_period": self.settlement_period}
        if self.kind == "option":
            return settled | {"strike": self.strike, "option_type": self.option_type}
        if self.kind == "option_combo":
            return settled
        return settled | {
            "max_leverage": 50 if self.perpetual else 25,
            "max_non_default_leverage": 5.0,
            "future_type": "linear" if self.linear else "reversed",
            "max_liquidation_commission": DecimalFloat(0.0075),
        }


_NAME = re.compile(
    r"(?P<coin>[A-Z0-9]+)(?P<linear>_USDC)?-(?P<date>\d{1,2}[A-Z]{3}\d\d)(-(?P<strike>[\dd]+)-(?P<side>[CP]))?"
)


def parse_instrument(name: str) -> SimulatedInstrument | None:
    """Returns the instrument that a dated name describes, listed or not; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        month = _MONTHS.index(match["date"][-5:-2]) + 1
        expiry = datetime(2000 + int(match["date"][-2:]), month, int(match["date"][:-5]), EXPIRY_HOUR.value, tzinfo=UTC)
    except ValueError:
        return None
    expires = int(expiry.timestamp()) * 1000
    return dated(match["coin"].lower() + (match["linear"] or ""), "month", expires, match["strike"], match["side"])


def dated(
    pair: str, period: str, expires: int, strike: str | None = None, side: str | None = None
) -> SimulatedInstrument:
    """Returns a future, or an option where a strike is named; ``pair`` is a coin, with ``_usdc`` for a linear one."""
    name = f"{pair.upper()}-{date_of(expires)}"
    coin, linear = pair.lower().removesuffix("_usdc"), pair.lower().endswith("_usdc")
    index = f"{coin}_usdc" if linear else f"{coin}_usd"
    created = expires - {"day": 4, "week": 21}.get(period, 180) * DAY_MS
    if strike is None or side is None:
        cheap = coin in COINS and COINS[coin].base < 50
        tick = (0.0001 if cheap else 0.01) if linear else 2.5 if coin == "btc" else 0.25
        return SimulatedInstrument(name, "future", coin, index, tick, _identifier(name), period, created, expires)
    name = f"{name}-{strike}-{side}"
    tick = 0.0001 if not linear else 5.0 if coin == "btc" else 0.2 if coin == "eth" else 0.001
    call = {"C": "call", "P": "put"}[side]
    price = float(strike.replace("d", "."))
    return SimulatedInstrument(
        name, "option", coin, index, tick, _identifier(name), period, created, expires, price, call
    )


def combo(name: str, *legs: tuple[int, SimulatedInstrument]) -> SimulatedInstrument:
    """Returns a combo of instruments; it expires with the first of them."""
    instruments = [leg for _, leg in legs]
    first = min(instruments, key=lambda leg: leg.expires)
    kind = "option_combo" if first.kind == "option" else "future_combo"
    created = max(leg.created for leg in instruments) + 3_600_000
    return SimulatedInstrument(
        name,
        kind,
        first.coin,
        first.price_index,
        0.0001 if kind == "option_combo" else first.tick_size,
        _identifier(name),
        first.settlement_period,
        created,
        first.expires,
        legs=legs,
    )


def date_of(expires: int) -> str:
    """Returns a day as names spell it, such as ``25DEC26``."""
    moment = datetime.fromtimestamp(expires / 1000, UTC)
    return f"{moment.day}{_MONTHS[moment.month - 1]}{moment.year % 100:02d}"


def _identifier(name: str) -> int:
    """Six digits, the same in every run, unlike hash()."""
    return 200_000 + int.from_bytes(hashlib.blake2s(name.encode(), digest_size=4).digest()) % 700_000


def uuid_of(name: str) -> str:
    """The identifier of a currency, the same in every run."""
    digits = hashlib.sha256(name.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-540c-{digits[12:16]}-{digits[16:28]}"
