"""What an account is and has: its identity, its balances and its limits, as plain values."""

from typing import Any

from .accounts import SimulatedAccount

__all__ = ["identity", "portfolio", "rights", "summary"]

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
    for greek in ("gamma", "vega", "theta"):
        value[f"options_{greek}_map"] = {f"{currency.lower()}_usd": 0.0} if currency in ("BTC", "ETH") else {}
    for figure in ("equity", "margin_balance", "initial_margin", "maintenance_margin", "delta_total"):
        value[f"total_{figure}_usd"] = 0.0
    value |= {
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
        "cross_collateral_enabled": False,
        "fee_balance": 0.0,
        "spot_reserve": 0.0,
        "additional_reserve": 0.0,
        "locked_balance": 0.0,
        "close_out_margin": 0.0,
        "deposit_address": f"sim-{account.identity}-{currency.lower()}",
        "limits": {
            "limits_per_currency": False,
            "non_matching_engine": {"rate": 20, "burst": 100},
            "matching_engine": {"trading": {"total": {"rate": 5, "burst": 20}}},
        },
    }
    return value


def portfolio(account: SimulatedAccount, currency: str) -> dict[str, Any]:
    """Returns what ``user.portfolio`` says: the balances without address and limits."""
    shown = summary(account, currency)
    return {name: value for name, value in shown.items() if name not in ("deposit_address", "limits", "locked_balance")}


def rights() -> dict[str, Any]:
    """Returns what get_account_summaries says at its top without ``extended`` too."""
    return {
        "change_margin_model_api_limit": {"rate": 50, "timeframe": 43200000},
        "disable_kyc_verification": False,
        "is_direct_access_allowed": True,
    }


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
        "self_trading_extended_to_subaccounts": False,
    }
