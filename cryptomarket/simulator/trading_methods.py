"""The private methods of orders, fills and positions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .catalogue import SimulatedInstrument
from .dispatch import MethodCall, flag, handler, text, whole
from .market_methods import belongs, instrument_named, kind_of
from .orders import Fill, OrderRequest, SimulatedOrder
from .positions import held, position
from .rpc_errors import invalid

__all__: list[str] = []

_WRITE = "trade:read_write"


def _number(call: MethodCall, name: str) -> float | None:
    value = call.params.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(name, "wrong format")
    return float(value)


def _asked(call: MethodCall, direction: str, found: SimulatedInstrument) -> OrderRequest:
    """Returns the order that a request asks for; the amount may be given in contracts."""
    contracts, amount = _number(call, "contracts"), _number(call, "amount")
    if amount is None and contracts is not None:
        amount = round(contracts * found.contract_size, 8)
    if amount is None:
        raise invalid("amount", "value required")
    kind = str(call.params.get("type") or "limit")
    return OrderRequest(
        direction=direction,
        amount=amount,
        order_type=kind,
        price=None if kind == "market" else _number(call, "price"),
        label=str(call.params.get("label") or ""),
        time_in_force=str(call.params.get("time_in_force") or "good_til_cancelled"),
        post_only=flag(call.params, "post_only"),
        reject_post_only=flag(call.params, "reject_post_only"),
        reduce_only=flag(call.params, "reduce_only"),
    )


def _owner(call: MethodCall) -> str:
    return call.owner.account.client_id


def _with_trades(call: MethodCall, order: SimulatedOrder) -> dict[str, Any]:
    return {"order": order.json(), "trades": [fill.row for fill in _fills(call) if fill.order == order.number]}


@handler("private/buy", scope=_WRITE)
def buy(call: MethodCall) -> Any:
    """A new order to buy, and its fills."""
    return _place(call, "buy")


@handler("private/sell", scope=_WRITE)
def sell(call: MethodCall) -> Any:
    """A new order to sell, and its fills."""
    return _place(call, "sell")


def _place(call: MethodCall, direction: str) -> dict[str, Any]:
    found = instrument_named(call)
    order = call.state.orders.place(_owner(call), found, _asked(call, direction, found), call.now_ms)
    return _with_trades(call, order)


@handler("private/close_position", scope=_WRITE)
def close_position(call: MethodCall) -> Any:
    """An order against the whole position."""
    found = instrument_named(call)
    size, _ = call.state.orders.position(_owner(call), found)
    if not size:
        raise invalid("instrument_name", "no open position")
    price = None if text(call.params, "type") == "market" else _number(call, "price")
    asked = OrderRequest(
        direction="sell" if size > 0 else "buy",
        amount=abs(size),
        order_type=text(call.params, "type"),
        price=price,
        reduce_only=True,
    )
    return _with_trades(call, call.state.orders.place(_owner(call), found, asked, call.now_ms))


@handler("private/edit", scope=_WRITE)
def edit(call: MethodCall) -> Any:
    """An open order with another amount or price."""
    order = call.state.orders.find(_owner(call), text(call.params, "order_id"))
    return _edited(call, order)


@handler("private/edit_by_label", scope=_WRITE)
def edit_by_label(call: MethodCall) -> Any:
    """The only open order with the label, with another amount or price."""
    label, name = text(call.params, "label"), text(call.params, "instrument_name")
    found = [order for order in _orders(call) if order.request.label == label and order.instrument.name == name]
    if len(found) != 1:
        raise invalid("label", "not one open order")
    return _edited(call, found[0])


def _edited(call: MethodCall, order: SimulatedOrder) -> dict[str, Any]:
    amount, price = _number(call, "amount"), _number(call, "price")
    asked = replace(
        order.request,
        amount=order.request.amount if amount is None else amount,
        price=order.request.price if price is None else price,
    )
    call.state.orders.edit(order, asked, call.now_ms)
    return _with_trades(call, order)


@handler("private/cancel", scope=_WRITE)
def cancel(call: MethodCall) -> Any:
    """The order that was cancelled."""
    order = call.state.orders.find(_owner(call), text(call.params, "order_id"))
    call.state.orders.cancel(order, call.now_ms)
    return order.json()


@handler(
    "private/cancel_all",
    "private/cancel_all_by_currency",
    "private/cancel_all_by_instrument",
    "private/cancel_all_by_kind_or_type",
    "private/cancel_by_label",
    scope=_WRITE,
)
def cancel_all(call: MethodCall) -> Any:
    """The number of orders that were cancelled."""
    orders = _orders(call)
    for order in orders:
        call.state.orders.cancel(order, call.now_ms)
    return len(orders)


@handler(
    "private/get_open_orders",
    "private/get_open_orders_by_currency",
    "private/get_open_orders_by_instrument",
    "private/get_open_orders_by_label",
    "private/get_order_state_by_label",
    scope="trade:read",
)
def get_open_orders(call: MethodCall) -> Any:
    """The open orders of a currency, an instrument or a label, the newest first."""
    return [order.json() for order in reversed(_orders(call))]


@handler(
    "private/get_order_history_by_currency",
    "private/get_order_history_by_instrument",
    scope="trade:read",
)
def get_order_history(call: MethodCall) -> Any:
    """The finished orders of a currency or an instrument, the newest first; cancelled ones only if asked for."""
    offset, count = whole(call.params, "offset", 0), whole(call.params, "count", 20)
    states = ("filled", "cancelled", "rejected") if flag(call.params, "include_unfilled") else ("filled",)
    rows = [order.json() for order in reversed(_orders(call, states))]
    return rows[offset : offset + count]


@handler("private/get_order_state", scope="trade:read")
def get_order_state(call: MethodCall) -> Any:
    """One order."""
    return call.state.orders.find(_owner(call), text(call.params, "order_id")).json()


def _orders(call: MethodCall, states: tuple[str, ...] = ("open",)) -> list[SimulatedOrder]:
    """Returns the orders that a request names, by currency, kind, instrument and label; the oldest first."""
    label = call.params.get("label")
    wanted = _wanted(call)
    return [
        order
        for order in call.state.orders.of(_owner(call))
        if order.state in states and wanted(order.instrument) and label in (None, order.request.label)
    ]


def _wanted(call: MethodCall) -> Callable[[SimulatedInstrument], bool]:
    """Whether an instrument is among those that a request names."""
    currency, kind = call.params.get("currency", "any"), kind_of(call)
    name = instrument_named(call).name if "instrument_name" in call.params else None
    return lambda found: name in (None, found.name) and belongs(found, currency, kind)


@handler(
    "private/get_user_trades_by_currency",
    "private/get_user_trades_by_currency_and_time",
    "private/get_user_trades_by_instrument",
    "private/get_user_trades_by_instrument_and_time",
    scope="trade:read",
)
def get_user_trades(call: MethodCall) -> Any:
    """The fills of a currency or an instrument, of a period if one is named; the newest first unless sorted."""
    params, wanted = call.params, _wanted(call)
    count = whole(params, "count", 10)
    start, end = whole(params, "start_timestamp", 0), whole(params, "end_timestamp", call.now_ms)
    fills = [fill for fill in _fills(call) if wanted(fill.instrument) and start <= fill.row["timestamp"] <= end]
    ordered = fills if params.get("sorting") == "asc" else fills[::-1]
    return {"trades": [fill.row for fill in ordered[:count]], "has_more": len(fills) > count}


@handler("private/get_user_trades_by_order", scope="trade:read")
def get_user_trades_by_order(call: MethodCall) -> Any:
    """The fills of one order."""
    number = text(call.params, "order_id")
    return [fill.row for fill in _fills(call) if fill.order == number]


def _fills(call: MethodCall) -> list[Fill]:
    return call.state.orders.fills.get(_owner(call), [])


@handler("private/get_position", scope="trade:read")
def get_position(call: MethodCall) -> Any:
    """The position in one instrument, of size 0 and direction ``zero`` where there is none."""
    return position(call.state, call.owner.account, instrument_named(call), call.now_ms)


@handler("private/get_positions", scope="trade:read")
def get_positions(call: MethodCall) -> Any:
    """Positions, the closed one of size 0 and direction ``zero`` included."""
    currency, kind = call.params.get("currency", "any"), kind_of(call)
    account, listed = call.owner.account, call.state.market.instruments(call.now_ms)
    traded = {fill.instrument.name for fill in _fills(call)}
    shown = [found for found in listed.values() if found.name in traded] + held(call.state, call.now_ms)
    unique = {found.name: found for found in shown if belongs(found, currency, kind)}
    return [position(call.state, account, found, call.now_ms) for found in unique.values()]
