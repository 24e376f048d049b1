"""The doors of the simulated exchange: which methods, grants and channels each answers.

The Coinbase doors follow https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-endpoints
and what clients and probes met there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from ..statements import statement as hosts
from ..statements.coinbase import LOGOUT_CLOSE_REASON

__all__ = ["DERIBIT", "DOORS", "SimulatedDoor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDoor:
    """One way into the exchange. Methods and instruments are patterns such as ``private/*``."""

    name: str
    #: The grants of ``public/auth``.
    grants: frozenset[str]
    methods: tuple[str, ...] = ("*",)
    refused: tuple[str, ...] = ()
    instruments: str = "*"
    #: Whether channels of market data and channels of accounts can be subscribed; others are left out silently.
    market_channels: bool = True
    account_channels: bool = True
    #: Whether a login over WebSocket belongs to its connection alone and has no token; tokens are for HTTP alone.
    socket_is_person: bool = False
    #: Whether a WebSocket whose client sends no message for a while is closed with 1011.
    ends_silence: bool = False
    logout_reason: str = ""
    #: Whether HTTP has a status of its own for too many requests, which a client may try again after.
    answers_too_many: bool = True
    testnet: bool = True
    #: Whether the OAuth2 server answers beside it.
    oauth: bool = False

    def allows(self, method: str) -> bool:
        """Whether the method is answered here at all."""
        return _matches(method, self.methods) and not _matches(method, self.refused)

    def lists(self, instrument: str) -> bool:
        """Whether the instrument is listed here."""
        return fnmatchcase(instrument, self.instruments)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


DERIBIT = SimulatedDoor(
    name=hosts.DERIBIT, grants=frozenset({"client_credentials", "client_signature", "refresh_token"})
)
COINBASE_STREAMS = SimulatedDoor(
    name=hosts.COINBASE_STREAMS,
    grants=frozenset(),
    methods=("public/subscribe", "public/unsubscribe", "public/unsubscribe_all", "public/set_heartbeat", "public/test"),
    instruments="*_USDC-PERPETUAL",
    account_channels=False,
    ends_silence=True,
    answers_too_many=False,
    testnet=False,
)
COINBASE_MAIN = SimulatedDoor(
    name=hosts.COINBASE_MAIN,
    grants=frozenset({"coinbase_cdp", "coinbase_oauth2"}),
    refused=("public/subscribe", "public/unsubscribe*", "public/fork_token", "public/exchange_token"),
    instruments="*_USDC-PERPETUAL",
    market_channels=False,
    socket_is_person=True,
    ends_silence=True,
    logout_reason=LOGOUT_CLOSE_REASON.value,
    answers_too_many=False,
    testnet=False,
    oauth=True,
)

#: Every door by its name.
DOORS: Mapping[str, SimulatedDoor] = MappingProxyType(
    {door.name: door for door in (DERIBIT, COINBASE_STREAMS, COINBASE_MAIN)}
)
