"""The currencies of the exchange: which calls accept which, and the answer of get_currencies."""

from typing import Any

from .catalogue import uuid_of

__all__ = ["CURRENCIES", "KNOWN", "SETTLEMENT", "WALLETS"]

#: The currencies that instruments settle in.
SETTLEMENT = ("BTC", "ETH", "USDC", "USDT", "EURR")
#: The currencies of an account.
WALLETS = (*SETTLEMENT, "STETH", "ETHW", "SOL", "XRP", "USYC", "PAXG", "BNB", "USDE")
#: What a parameter ``currency`` may say: nothing settles in the others today, so lists of them are empty.
KNOWN = (*WALLETS, "any")


def _currency(name: str, long_name: str, kind: str, decimals: int, networks: tuple[str, ...] = ()) -> dict[str, Any]:
    priorities = [{"value": 0.15, "name": "very_low"}, {"value": 1.5, "name": "very_high"}]
    return {
        "currency": name,
        "currency_long": long_name,
        "coin_type": kind,
        "decimals": decimals,
        "min_confirmations": 1,
        "withdrawal_fee": 0.0001,
        "min_withdrawal_fee": 0.0001,
        "network_fee": 0.0001,
        "network_currency": "ETH" if networks else name,
        "apr": 0.0,
        "in_cross_collateral_pool": name != "ETHW",
        "withdrawal_priorities": [] if networks else priorities,
        "currency_uuid": uuid_of(name),
        "coinbase_networks": list(networks),
        "onchain_operations_precision": decimals,
    }


_TOKEN = ("ethereum", "base")

CURRENCIES = [
    _currency("BTC", "Bitcoin", "BITCOIN", 8),
    _currency("ETH", "Ethereum", "ETHER", 6),
    _currency("USDC", "USD Coin", "USDC", 6, _TOKEN),
    _currency("USDT", "Tether USD", "USDT", 6, _TOKEN),
    _currency("EURR", "StablR Euro", "EURR", 6, _TOKEN),
    _currency("STETH", "Lido Staked Ether", "STETH", 6, _TOKEN),
    _currency("ETHW", "Ethereum PoW", "ETHW", 6),
    _currency("SOL", "Solana", "SOL", 6),
    _currency("XRP", "XRP", "XRP", 6),
    _currency("USYC", "US Yield Coin", "USYC", 6, _TOKEN),
    _currency("PAXG", "Paxos Gold", "PAXG", 6, _TOKEN),
    _currency("BNB", "BNB", "BNB", 6),
    _currency("USDE", "Ethena USDe", "USDE", 6, _TOKEN),
]
