"""The channels of an account: its portfolio, its orders, its trades, and those on which nothing happens."""

import re
from typing import Any

from .balances import portfolio
from .broadcast import Broadcaster
from .channels import SimulatedChannel, of_channel
from .currencies import WALLETS
from .dispatch import MethodCall
from .orders import Fill, SimulatedOrder
from .positions import position
from .shared_state import SharedState

__all__ = ["account_channel", "is_account_channel", "publish_order"]

_PORTFOLIO = re.compile(r"user\.portfolio\.([A-Za-z]+)")
#: Channels on which nothing ever happens here; the second kind is of block trades, with a right of its own.
_SILENT = re.compile(r"user\.(lock|position_lock|access_log|(combo_trades|isolated|trailing_orders)\.[A-Za-z0-9_.\-]+)")
_BLOCKS = re.compile(r"(block_rfq)\.(?:maker|taker)\.[A-Za-z.]+|(block_trade)_confirmations(?:\.[A-Za-z]+)?")
_ORDERS = re.compile(
    r"user\.(orders|trades|changes)\.(?:([A-Za-z0-9_\-]+)|(any|future|option|spot|future_combo|option_combo)"
    r"\.([A-Za-z]+))\.(raw|100ms|agg2)"
)


def is_account_channel(name: str) -> bool:
    """Whether a channel of that name would tell of an account, and not of the market."""
    return name.startswith("user.") or _BLOCKS.fullmatch(name) is not None


def account_channel(call: MethodCall, name: str) -> SimulatedChannel | None:
    """Returns a channel of the logged-in account; None, a silent drop, without a login or its right to read."""
    grant = call.grant
    if grant is None or not call.private:
        return None
    orders, balances, blocks = _ORDERS.fullmatch(name), _PORTFOLIO.fullmatch(name), _BLOCKS.fullmatch(name)
    right = "trade" if orders else "account" if blocks is None else blocks[1] or blocks[2]
    if not grant.may(f"{right}:read"):
        return None
    owner, label = grant.account.client_id, call.params.get("label")
    if orders or blocks or _SILENT.fullmatch(name):
        return SimulatedChannel(name, first=False, owner=owner, label=label)
    currency = balances[1].upper() if balances else ""
    if currency not in (*WALLETS, "ANY"):
        return None
    # Subscribed as user.portfolio.BTC, delivered as user.portfolio.btc (recorded 2025).
    shown = "BTC" if currency == "ANY" else currency
    return SimulatedChannel(
        name,
        lambda now_ms: now_ms - now_ms % 5000,
        lambda _: portfolio(grant.account, shown),
        first=call.state.switches.first_values,
        spoken=name.lower(),
        label=label,
        owner=owner,
    )


def publish_order(state: SharedState, broadcaster: Broadcaster, order: SimulatedOrder, fills: list[Fill]) -> None:
    """Tells the account's channels of an order that changed, and of its new fills."""
    for entry in list(broadcaster.entries.values()):
        match = _ORDERS.fullmatch(entry.channel.name)
        if entry.channel.owner != order.owner or match is None:
            continue
        what, name, kind, currency, interval = match.groups()
        if name == order.instrument.name or (kind is not None and of_channel(order.instrument, kind, currency)):
            data = _data(state, order, fills, what, interval)
            if data is not None:
                broadcaster.send(entry, data)


def _data(state: SharedState, order: SimulatedOrder, fills: list[Fill], what: str, interval: str) -> Any:
    """Orders of a ``.raw`` channel are single objects, all else are lists; None where there is nothing to tell."""
    rows = [fill.row for fill in fills]
    if what == "orders":
        return order.json() if interval == "raw" else [order.json()]
    if what == "trades":
        return rows or None
    account = state.accounts.known.get(order.owner)
    positions = [position(state, account, order.instrument, order.updated_ms)] if rows and account else []
    return {
        "trades": rows,
        "positions": positions,
        "orders": [order.json()],
        "instrument_name": order.instrument.name,
    }
