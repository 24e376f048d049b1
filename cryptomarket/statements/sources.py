"""The documents and measurements that statements name as their sources."""

__all__ = [
    "AUTHENTICATION",
    "CHANNELS",
    "COINBASE_OAUTH",
    "COINBASE_PARTNERS",
    "COINBASE_PROBE",
    "COINBASE_SDK",
    "COINBASE_WEBSOCKET",
    "CONNECTIONS",
    "ERRORS",
    "HEARTBEAT",
    "INFERRED",
    "JSON_RPC",
    "MARKET_DATA",
    "PROBE",
    "PUBLIC_AUTH",
    "PUBLIC_METHODS",
    "RATE_LIMITS",
    "SCOPES",
    "SUBSCRIBE",
]

_ARTICLES = "https://docs.deribit.com/articles/"
_REFERENCE = "https://docs.deribit.com/api-reference/"
_COINBASE = "https://docs.cdp.coinbase.com/"

AUTHENTICATION = f"{_ARTICLES}authentication.md"
CONNECTIONS = f"{_ARTICLES}connection-management-best-practices.md"
ERRORS = f"{_ARTICLES}errors.md"
JSON_RPC = f"{_ARTICLES}json-rpc-overview.md"
RATE_LIMITS = f"{_ARTICLES}rate-limits.md"
SCOPES = f"{_ARTICLES}access-scope.md"
HEARTBEAT = f"{_REFERENCE}session-management/public-set_heartbeat.md"
MARKET_DATA = f"{_REFERENCE}market-data/"
PUBLIC_AUTH = f"{_REFERENCE}authentication/public-auth.md"
PUBLIC_METHODS = _REFERENCE
CHANNELS = "https://docs.deribit.com/subscriptions/"
SUBSCRIBE = f"{_REFERENCE}subscription-management/public-subscribe.md"

COINBASE_OAUTH = f"{_COINBASE}coinbase-app/oauth2-integration/access-and-refresh-tokens"
COINBASE_PARTNERS = f"{_COINBASE}coinbase-app/advanced-trade-apis/guides/derivatives/deribit-partners"
COINBASE_WEBSOCKET = f"{_COINBASE}coinbase-app/advanced-trade-apis/websocket/websocket-endpoints"
COINBASE_SDK = "coinbase-advanced-py 2.0.0rc1, Coinbase's own client"

#: Measurements of others, written down with their times.
PROBE = "a probe of www.deribit.com on 23 September 2026"
COINBASE_PROBE = "a probe of Coinbase's hosts on 5 September 2026"
#: No source says it; it is the likeliest.
INFERRED = "no source: inferred"
