"""The private methods about the account: identity, balances, deposits, logout."""

from typing import Any

from .balances import identity, rights, summary
from .currencies import WALLETS
from .dispatch import ConnectionEnded, MethodCall, flag, handler, text
from .rpc_errors import RpcError, invalid

__all__: list[str] = []


@handler("private/get_account_summary", scope="account:read")
def get_account_summary(call: MethodCall) -> Any:
    """The figures of one currency; with ``extended`` the identity stands among them."""
    currency = _wallet(call)
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
    return rights() | shown | {"summaries": [summary(account, currency) for currency in WALLETS]}


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


@handler("private/get_deposits", scope="wallet:read")
def get_deposits(call: MethodCall) -> Any:
    """One deposit of long ago."""
    currency = _wallet(call)
    row = {
        "address": f"sim-{call.owner.account.identity}-{currency.lower()}",
        "amount": 10.0,
        "clearance_state": "cleared",
        "currency": currency,
        "note": "",
        "received_timestamp": 1_700_000_100_000,
        "refund_transaction_id": None,
        "source_address": f"sim-source-{currency.lower()}",
        "state": "completed",
        "transaction_id": f"simulated-{call.owner.account.identity}",
        "updated_timestamp": 1_700_000_160_000,
    }
    return {"count": 1, "data": [row]}


@handler("private/get_withdrawals", "private/get_transfers", scope="wallet:read")
def get_withdrawals(call: MethodCall) -> Any:
    """Always empty."""
    _wallet(call)
    return {"count": 0, "data": []}


def _wallet(call: MethodCall) -> str:
    currency = text(call.params, "currency")
    if currency not in WALLETS:
        raise invalid("currency", "invalid value")
    return currency


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
