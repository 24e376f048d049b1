"""The doors of the exchange: the hosts by which it is reached, and what each of them understands.

Plain values that import nothing of the package, so any feature may import them. Sources:
https://docs.deribit.com/articles/json-rpc-overview.md and, for Coinbase,
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-endpoints
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

__all__ = ["DOORS", "Door", "OAuth"]


@dataclass(frozen=True, slots=True)
class OAuth:
    """A server of OAuth 2: where people consent, where codes and refresh tokens become tokens, and where these end."""

    authorize_url: str
    token_url: str
    revoke_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One way into the exchange; times are in seconds."""

    name: str
    #: The WebSocket addresses of market data and of private calls, and the HTTP address of both.
    prices_url: str
    private_url: str
    http_url: str
    #: Whether the host of market data answers `public/hello` and `public/auth`, and has channels of every change.
    authenticates: bool = True
    #: The interval of heartbeats. The exchange asks for a sign of life at each one.
    heartbeat_seconds: int = 30
    #: After so long without a request of our own, `public/test` is sent.
    silence_seconds: float = 15.0
    #: How many `public/get_instruments` may go at once; None: as the statement of their credits says.
    instrument_lists_at_once: int | None = None
    #: Whether too many requests are answered with 10028. Elsewhere the connection just ends.
    announces_limits: bool = True
    #: Where people log in without a key of the exchange; None where they cannot.
    oauth: OAuth | None = None

    @property
    def prices_host(self) -> str:
        """The name of the host of market data, without a port and without credentials."""
        return urlsplit(self.prices_url).hostname or ""


DERIBIT = Door(
    name="deribit",
    prices_url="wss://www.deribit.com/ws/api/v2",
    private_url="wss://www.deribit.com/ws/api/v2",
    http_url="https://www.deribit.com/api/v2",
)
DERIBIT_TEST = Door(
    name="deribit-test",
    prices_url="wss://test.deribit.com/ws/api/v2",
    private_url="wss://test.deribit.com/ws/api/v2",
    http_url="https://test.deribit.com/api/v2",
)
#: A socket of ours that sends nothing for 30 s is closed there with 1011, so heartbeats are shorter.
COINBASE = Door(
    name="coinbase",
    prices_url="wss://streams.drb.coinbase.com/ws/api/v2",
    private_url="wss://drb.coinbase.com/ws/api/v2",
    http_url="https://drb.coinbase.com/api/v2",
    authenticates=False,
    heartbeat_seconds=15,
    instrument_lists_at_once=1,
    announces_limits=False,
    oauth=OAuth(
        "https://login.coinbase.com/oauth2/auth",
        "https://login.coinbase.com/oauth2/token",
        "https://login.coinbase.com/oauth2/revoke",
    ),
)

#: Every door by its name.
DOORS: Mapping[str, Door] = MappingProxyType({door.name: door for door in (DERIBIT, DERIBIT_TEST, COINBASE)})
