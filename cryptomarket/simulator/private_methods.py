"""The private methods of the exchange: identity, balances, positions, logout."""

from typing import Any

from .accounts import SimulatedAccount
from .currencies import WALLETS
from .dispatch import ConnectionEnded, MethodCall, flag, handler, text
from .rpc_errors import RpcError, invalid
from .tickers import ticker_of

__all__: list[str] = []

_BALANCES = {"BTC": 10.0, "ETH": 250.5, "USDC": 100_000.0}


def summary(account: SimulatedAccount, currency: str) -> dict[str, Any]:
    """Returns the balances of an account in one currency."""
    balance = _BALANCES.get(currency, 0.0)
    value: dict[str, Any] = {
        "currency": currency,
        "balance": balance,
        "equity": balance,
        "available_funds": balance,
        "available_withdrawal_funds": balance,
        "margin_balance": balance,
        "initial_margin": 0.0,
        "maintenance_margin": 0.0,
        "projected_initial_margin": 0.0,
        "projected_maintenance_margin": 0.0,
        "session_upl": 0.0,
        "session_rpl": 0.0,
        "session_funding": 0.0,
        "total_pl": 0.0,
        "delta_total": 0.0,
        "delta_total_map": {"btc_usd": balance} if currency == "BTC" else {},
        "projected_delta_total": 0.0,
    }
    for group in ("options", "futures"):
        for figure in ("pl", "session_upl", "session_rpl"):
            value[f"{group}_{figure}"] = 0.0
    for greek in ("delta", "gamma", "vega", "theta", "value"):
        value[f"options_{greek}"] = 0.0
    value |= {
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "fee_balance": 0.0,
        "spot_reserve": 0.0,
        "additional_reserve": 0.0,
        "locked_balance": 0.0,
        "deposit_address": f"sim-{account.identity}-{currency.lower()}",
        "limits": {
            "limits_per_currency": False,
            "non_matching_engine": {"rate": 20, "burst": 100},
            "matching_engine": {"trading": {"total": {"rate": 5, "burst": 20}}},
        },
    }
    return value


def identity(account: SimulatedAccount) -> dict[str, Any]:
    """Returns the identity of the account, for requests with ``extended``."""
    return {
        "id": account.identity,
        "email": account.address,
        "username": account.name,
        "system_name": f"sim_{account.identity}",
        "type": "main",
        "creation_timestamp": 1_700_000_000_000,
        "login_enabled": True,
        "security_keys_enabled": False,
        "security_keys_assignments": [],
        "referrer_id": None,
        "mmp_enabled": False,
        "interuser_transfers_enabled": False,
        "has_non_block_chain_equity": False,
        "self_trading_reject_mode": "cancel_maker",
        "self_trading_extended_to_subaccounts": "false",
    }


@handler("private/get_account_summary", scope="account:read")
def get_account_summary(call: MethodCall) -> Any:
    """The figures of one currency; with ``extended`` the identity stands among them."""
    currency = text(call.params, "currency")
    if currency not in WALLETS:
        raise invalid("currency", "invalid value")
    _own(call)
    account = call.owner.account
    shown = identity(account) if flag(call.params, "extended") else {}
    return shown | summary(account, currency)


@handler("private/get_account_summaries", scope="account:read")
def get_account_summaries(call: MethodCall) -> Any:
    """The figures of every currency; with ``extended`` the identity at the top."""
    _own(call)
    account = call.owner.account
    shown = identity(account) if flag(call.params, "extended") else {}
    return shown | {"summaries": [summary(account, currency) for currency in WALLETS]}


@handler("private/get_subaccounts", scope="account:read")
def get_subaccounts(call: MethodCall) -> Any:
    """The main account alone."""
    account = call.owner.account
    row = identity(account)
    kept = ("id", "type", "username", "email", "system_name", "login_enabled", "security_keys_enabled")
    value = {name: row[name] for name in kept} | {
        "is_password": True,
        "receive_notifications": False,
        "margin_model": "segregated_sm",
    }
    if flag(call.params, "with_portfolio"):
        value["portfolio"] = {name.lower(): summary(account, name) for name in ("BTC", "ETH")}
    return [value]


@handler("private/get_positions", scope="trade:read")
def get_positions(call: MethodCall) -> Any:
    """Positions, the closed one of size 0 and direction ``zero`` included."""
    currency, kind = call.params.get("currency", "any"), call.params.get("kind")
    if currency not in (*WALLETS, "any"):
        raise invalid("currency", "invalid value")
    if kind is not None and kind not in ("future", "option", "future_combo", "option_combo"):
        raise invalid("kind", "invalid value")
    listed = [found for found in call.state.market.instruments(call.now_ms).values() if found.coin == "btc"]
    listed = [found for found in listed if currency in ("any", "USDC" if found.linear else "BTC")]
    option = next((found for found in listed if found.kind == "option"), None)
    perpetual = next((found for found in listed if found.perpetual), None)
    rows = [_option_position(call, option.name)] if option else []
    rows += [_future_position(call, perpetual.name)] if perpetual else []
    return [row for row in rows if kind in (None, row["kind"])]


@handler("private/get_transaction_log", scope="wallet:read")
def get_transaction_log(call: MethodCall) -> Any:
    """Always empty."""
    text(call.params, "currency")
    return {"continuation": None, "logs": []}


@handler("private/logout")
def logout(call: MethodCall) -> Any:
    """Closes the connection without an answer."""
    if not call.caller.websocket:
        raise RpcError(10030)
    if call.params.get("invalidate_token", True):
        call.state.accounts.end(call.owner)
    raise ConnectionEnded


def _own(call: MethodCall) -> None:
    number = call.params.get("subaccount_id")
    if number is not None and number != call.owner.account.identity:
        raise RpcError(13021)


def _future_position(call: MethodCall, name: str) -> dict[str, Any]:
    market = ticker_of(call.state.market, call.state.market.instruments(call.now_ms)[name], call.now_ms)
    return {
        "average_price": 0.0,
        "delta": 0.0,
        "direction": "zero",
        "estimated_liquidation_price": None,
        "floating_profit_loss": 0.0,
        "index_price": market["index_price"],
        "initial_margin": 0.0,
        "instrument_name": name,
        "interest_value": 0.0,
        "kind": "future",
        "leverage": 25,
        "maintenance_margin": 0.0,
        "mark_price": market["mark_price"],
        "open_orders_margin": 0.0,
        "realized_funding": 0.0,
        "realized_profit_loss": -4.01e-7,
        "settlement_price": market["settlement_price"],
        "size": 0.0,
        "size_currency": 0.0,
        "total_profit_loss": 0.0,
        "user_id": call.owner.account.identity,
    }


def _option_position(call: MethodCall, name: str) -> dict[str, Any]:
    market = ticker_of(call.state.market, call.state.market.instruments(call.now_ms)[name], call.now_ms)
    mark, index, size = market["mark_price"], market["index_price"], 0.1
    return {
        "average_price": mark,
        "average_price_usd": round(mark * index, 8),
        "delta": round(market["greeks"]["delta"] * size, 5),
        "direction": "buy",
        "floating_profit_loss": 0.0,
        "floating_profit_loss_usd": 0.0,
        "gamma": round(market["greeks"]["gamma"] * size, 5),
        "index_price": index,
        "initial_margin": 0.0,
        "instrument_name": name,
        "kind": "option",
        "maintenance_margin": 0.0,
        "mark_price": mark,
        "realized_profit_loss": -0.0001,
        "settlement_price": market["settlement_price"],
        "size": size,
        "theta": round(market["greeks"]["theta"] * size, 5),
        "total_profit_loss": 0.0,
        "user_id": call.owner.account.identity,
        "vega": round(market["greeks"]["vega"] * size, 5),
    }
