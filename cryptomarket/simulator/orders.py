"""Orders and fills of the simulated exchange.

An order that crosses the best price is filled whole at that price; another one rests until the market comes to it.
It knows no socket: whoever asks for it is told of each change.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .catalogue import SimulatedInstrument
from .market import Market
from .rpc_errors import RpcError, invalid
from .tickers import ticker_of

__all__ = ["Fill", "OrderRequest", "Orders", "SimulatedOrder"]

#: Finished orders of an account that are still listed.
MOST_FINISHED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """What an account asks for; a market order has no ``price``."""

    direction: str
    amount: float
    order_type: str = "limit"
    price: float | None = None
    label: str = ""
    time_in_force: str = "good_til_cancelled"
    post_only: bool = False
    reject_post_only: bool = False
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an account, as its methods and channels show it."""

    instrument: SimulatedInstrument
    order: str
    row: dict[str, Any]


@dataclass(slots=True, eq=False)
class SimulatedOrder:
    """An order of an account (``owner`` is its client id)."""

    number: str
    owner: str
    instrument: SimulatedInstrument
    request: OrderRequest
    created_ms: int
    updated_ms: int
    state: str = "open"
    filled: float = 0.0
    average: float = 0.0
    replaced: bool = False
    cancel_reason: str = ""

    def json(self) -> dict[str, Any]:
        """The order object of the exchange."""
        asked = self.request
        value: dict[str, Any] = {
            "web": False,
            "time_in_force": asked.time_in_force,
            "risk_reducing": False,
            "replaced": self.replaced,
            "reduce_only": asked.reduce_only,
            "price": "market_price" if asked.price is None else asked.price,
            "post_only": asked.post_only,
            "order_type": asked.order_type,
            "order_state": self.state,
            "order_id": self.number,
            "mmp": False,
            "max_show": asked.amount,
            "last_update_timestamp": self.updated_ms,
            "label": asked.label,
            "is_rebalance": False,
            "is_liquidation": False,
            "instrument_name": self.instrument.name,
            "filled_amount": self.filled,
            "direction": asked.direction,
            "creation_timestamp": self.created_ms,
            "contracts": round(asked.amount / self.instrument.contract_size, 4),
            "average_price": self.average,
            "api": True,
            "amount": asked.amount,
        }
        return value | ({"cancel_reason": self.cancel_reason} if self.cancel_reason else {})


@dataclass(slots=True)
class Orders:
    """All orders of all accounts; ``changed`` is called with each order that changes and its new fills."""

    market: Market
    changed: Callable[[SimulatedOrder, list[Fill]], None] = lambda order, fills: None
    known: dict[str, list[SimulatedOrder]] = field(default_factory=dict)
    fills: dict[str, list[Fill]] = field(default_factory=dict)
    _open: dict[str, SimulatedOrder] = field(default_factory=dict)
    _count: int = 0

    def of(self, owner: str) -> list[SimulatedOrder]:
        """Returns the orders of an account, the oldest first."""
        return self.known.get(owner, [])

    def find(self, owner: str, number: str) -> SimulatedOrder:
        """Returns an order of the account; raises 11044 for one that it does not have."""
        found = next((order for order in self.of(owner) if order.number == number), None)
        if found is None:
            raise RpcError(11044)
        return found

    def place(self, owner: str, instrument: SimulatedInstrument, asked: OrderRequest, now_ms: int) -> SimulatedOrder:
        """Returns the new order, filled where it crosses the best price."""
        _check(instrument, asked)
        self._count += 1
        number = f"{instrument.number_prefix}{46_094_000_000 + self._count}"
        order = SimulatedOrder(number, owner, instrument, asked, now_ms, now_ms)
        own = self.known.setdefault(owner, [])
        own.append(order)
        del own[: -MOST_FINISHED - len(self._open)]
        self._open[order.number] = order
        self._settle(order, now_ms)
        return order

    def edit(self, order: SimulatedOrder, asked: OrderRequest, now_ms: int) -> None:
        """Changes amount and price of an open order; raises 11044 for another one."""
        self._require_open(order)
        _check(order.instrument, asked)
        order.request, order.updated_ms, order.replaced = asked, now_ms, True
        self._settle(order, now_ms)

    def cancel(self, order: SimulatedOrder, now_ms: int, reason: str = "user_request") -> None:
        """Cancels an open order; raises 11044 for another one."""
        self._require_open(order)
        order.cancel_reason = reason
        self._end(order, "cancelled", now_ms)
        self.changed(order, [])

    def match(self, now_ms: int) -> None:
        """Fills the resting orders that the market has come to, and cancels those of expired instruments."""
        for order in list(self._open.values()):
            if order.instrument.name not in self.market.instruments(now_ms):
                self.cancel(order, now_ms, "")
            elif (price := self._crossed(order, now_ms)) is not None:
                self._fill(order, order.request.price or price, now_ms, maker=True)

    def position(self, owner: str, instrument: SimulatedInstrument) -> tuple[float, float]:
        """Returns the size of a position, negative where more was sold, and its average price."""
        size = average = 0.0
        for fill in self.fills.get(owner, ()):
            if fill.instrument.name == instrument.name:
                price, amount = fill.row["price"], fill.row["amount"] * (1 if fill.row["direction"] == "buy" else -1)
                if size * amount >= 0:
                    average = (average * size + price * amount) / (size + amount)
                elif abs(amount) > abs(size):
                    average = price
                size = round(size + amount, 8)
        return size, round(average, 8) if size else 0.0

    def _require_open(self, order: SimulatedOrder) -> None:
        if order.number not in self._open:
            raise RpcError(11044)

    def _crossed(self, order: SimulatedOrder, now_ms: int) -> float | None:
        """The price at which the market would fill the order now."""
        shown, buys = ticker_of(self.market, order.instrument, now_ms), order.request.direction == "buy"
        best: float = shown["best_ask_price" if buys else "best_bid_price"]
        limit = order.request.price
        crossed = best and (limit is None or (best <= limit if buys else best >= limit))
        return best if crossed else None

    def _settle(self, order: SimulatedOrder, now_ms: int) -> None:
        """Fills, rests or ends an order that is new or was changed."""
        asked, price = order.request, self._crossed(order, now_ms)
        if price is not None and asked.post_only and not asked.reject_post_only:
            away = -order.instrument.tick_size if asked.direction == "buy" else order.instrument.tick_size
            order.request = replace(asked, price=order.instrument.on_tick(price + away))
        elif price is not None and asked.post_only:
            self._end(order, "rejected", now_ms)
        elif price is not None:
            self._fill(order, price, now_ms, maker=False)
            return
        elif asked.price is None or asked.time_in_force in ("fill_or_kill", "immediate_or_cancel"):
            self._end(order, "cancelled", now_ms)
        self.changed(order, [])

    def _end(self, order: SimulatedOrder, state: str, now_ms: int) -> None:
        order.state, order.updated_ms = state, now_ms
        self._open.pop(order.number, None)

    def _fill(self, order: SimulatedOrder, price: float, now_ms: int, *, maker: bool) -> None:
        amount = round(order.request.amount - order.filled, 8)
        order.filled, order.average = order.request.amount, price
        self._end(order, "filled", now_ms)
        fill = Fill(order.instrument, order.number, self._row(order, price, amount, now_ms, maker))
        self.fills.setdefault(order.owner, []).append(fill)
        self.changed(order, [fill])

    def _row(self, order: SimulatedOrder, price: float, amount: float, now_ms: int, maker: bool) -> dict[str, Any]:
        found, asked, shown = order.instrument, order.request, ticker_of(self.market, order.instrument, now_ms)
        self._count += 1
        inverse = found.kind.startswith("future") and not found.linear
        value: dict[str, Any] = {
            "trade_seq": self._count,
            "trade_id": f"{found.number_prefix}{300_000_000 + self._count}",
            "timestamp": now_ms,
            "tick_direction": 0,
            "state": order.state,
            "self_trade": False,
            "risk_reducing": False,
            "reduce_only": asked.reduce_only,
            "profit_loss": 0.0,
            "price": price,
            "post_only": asked.post_only,
            "order_type": asked.order_type,
            "order_id": order.number,
            "mmp": False,
            "matching_id": None,
            "mark_price": shown["mark_price"],
            "liquidity": "M" if maker else "T",
            "label": asked.label,
            "instrument_name": found.name,
            "index_price": shown["index_price"],
            "fee_currency": found.currency,
            "fee": 0.0 if maker else round(amount / price * 0.0005 if inverse else amount * price * 0.0005, 8),
            "direction": asked.direction,
            "contracts": round(amount / found.contract_size, 4),
            "api": True,
            "amount": amount,
        }
        if found.kind == "option":
            value |= {"iv": shown["mark_iv"], "underlying_price": shown["underlying_price"]}
        return value


def _check(instrument: SimulatedInstrument, asked: OrderRequest) -> None:
    """Raises -32602 for an amount or a price that the instrument does not allow."""
    contracts = asked.amount / instrument.min_trade_amount
    if asked.amount <= 0 or abs(contracts - round(contracts)) > 1e-6:
        raise invalid("amount", "must be a multiple of the minimum trade amount")
    if asked.order_type not in ("limit", "market"):
        raise invalid("type", "invalid value")
    if asked.order_type == "limit" and asked.price is None:
        raise invalid("price", "value required")
    if asked.price is not None and abs(instrument.on_tick(asked.price) - asked.price) > 1e-9:
        raise invalid("price", "must conform to tick size")
