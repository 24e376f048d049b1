"""Faults of logins, keys and tokens, those of Coinbase's OAuth2 server included; the others are in ``faults``."""

from .faults import FaultTarget, fault
from .rpc_errors import MESSAGES, RpcError

__all__: list[str] = []


@fault("refuse_login", number=True)
def refuse_login(exchange: FaultTarget, argument: str) -> None:
    """Answer every login with the code given (default 13004); ``off`` ends it."""
    code = int(argument or 13004) if argument != "off" else 0
    if code and code not in MESSAGES:
        raise ValueError(f"unknown error code {code}")
    exchange.state.accounts.refuse_logins = RpcError(code) if code else None


@fault("expire_tokens", number=True)
def expire_tokens(exchange: FaultTarget, argument: str) -> None:
    """Expire all access tokens in the given seconds (default: now); refresh tokens stay valid."""
    exchange.state.accounts.expire_all(float(argument or 0))


@fault("revoke_tokens")
def revoke_tokens(exchange: FaultTarget, argument: str) -> None:
    """Revoke all tokens, refresh tokens included."""
    exchange.state.accounts.revoke_all()


@fault("narrow_key")
def narrow_key(exchange: FaultTarget, argument: str) -> None:
    """Change the widest scope of a key, ``KEY account:read trade:none``; the next log-in or refresh obeys it."""
    client_id, _, scope = argument.partition(" ")
    exchange.state.accounts.narrow(client_id, scope)


@fault("revoke_key")
def revoke_key(exchange: FaultTarget, argument: str) -> None:
    """Delete a key: its tokens are invalid, and nobody can log in with it."""
    exchange.state.accounts.revoke(argument)


@fault("widen", number=True)
def widen(exchange: FaultTarget, argument: str) -> None:
    """Grant the next refreshes, 1 or the number given, all rights of the key, whatever scope they request."""
    exchange.state.accounts.widened_refreshes = 0 if argument == "off" else int(argument or 1)


@fault("oauth_revoke")
def oauth_revoke(exchange: FaultTarget, argument: str) -> None:
    """Revoke what the given account (default: every account) allowed at Coinbase; tokens of the exchange stay valid."""
    if argument and argument not in exchange.state.accounts.known:
        raise ValueError(f"unknown key {argument!r}")
    exchange.state.accounts.oauth.revoke(argument)


@fault("oauth_expire", number=True)
def oauth_expire(exchange: FaultTarget, argument: str) -> None:
    """Expire all access tokens of Coinbase in the given seconds (default: now); refresh tokens stay valid."""
    exchange.state.accounts.oauth.expire_all(float(argument or 0))


@fault("oauth_refuse")
def oauth_refuse(exchange: FaultTarget, argument: str) -> None:
    """Refuse refreshes of tokens at Coinbase with the error given (default invalid_grant); ``off`` ends it."""
    exchange.state.active_faults.oauth_error = "" if argument == "off" else argument or "invalid_grant"


@fault("oauth_delay", number=True)
def oauth_delay(exchange: FaultTarget, argument: str) -> None:
    """Issue tokens at Coinbase at once and answer so many seconds later (default 5, 0 ends it)."""
    exchange.state.active_faults.oauth_delay_seconds = float(argument or 5)
