"""How much a client may ask: credits, sizes, connections and sessions."""

from dataclasses import dataclass

from .sources import COINBASE_SDK, CONNECTIONS, INFERRED, JSON_RPC, RATE_LIMITS, SCOPES, SUBSCRIBE
from .statement import COINBASE_STREAMS, DERIBIT, EVERY_HOST, ConfirmedBy, Statement

__all__ = [
    "CHANNELS_PER_REQUEST",
    "CONNECTIONS_PER_ADDRESS",
    "CREDITS_INSTRUMENTS",
    "CREDITS_OTHER",
    "CREDITS_SUBSCRIBE",
    "CREDITS_TRANSACTIONS",
    "LONGEST_LABEL",
    "OWN_LIMITS",
    "REQUEST_BYTES",
    "RETRY_AFTER_SECONDS",
    "SAYS_TOO_MANY",
    "SESSIONS_PER_KEY",
    "TOO_MANY_STATUS",
    "UNAUTHENTICATED_SHARE",
    "CreditLimit",
]


@dataclass(frozen=True, slots=True)
class CreditLimit:
    """The cost of a request of a group, the size of the group's bucket, its refill per second, and its methods."""

    cost: int
    burst: int
    refill: int
    #: Empty: every method that no other group has.
    methods: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.cost:,} credits of {self.burst:,}, which refill with {self.refill:,} a second"


CREDITS_OTHER = Statement(
    "credits_other",
    "A request of a method without a rule of its own costs {value}.",
    CreditLimit(500, 50_000, 10_000),
    source=RATE_LIMITS,
    confirmed_by=ConfirmedBy.RECORDING,
)
CREDITS_SUBSCRIBE = Statement(
    "credits_subscribe",
    "A request to subscribe costs {value}, however many channels it names.",
    CreditLimit(3_000, 30_000, 10_000, ("public/subscribe", "private/subscribe")),
    source=RATE_LIMITS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
CREDITS_INSTRUMENTS = Statement(
    "credits_instruments",
    "public/get_instruments costs {value}.",
    CreditLimit(10_000, 500_000, 10_000, ("public/get_instruments",)),
    source=RATE_LIMITS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(DERIBIT,),
)
CREDITS_TRANSACTIONS = Statement(
    "credits_transactions",
    "private/get_transaction_log costs {value}.",
    CreditLimit(10_000, 80_000, 10_000, ("private/get_transaction_log",)),
    source=RATE_LIMITS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SAYS_TOO_MANY = Statement(
    "says_too_many",
    "Error 10028 is delivered before the connection ends: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(False,),
)
TOO_MANY_STATUS = Statement(
    "too_many_status",
    "Over HTTP, error 10028 has the status {value}.",
    429,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(400, 503),
)
REQUEST_BYTES = Statement(
    "request_bytes",
    "A request of more than {value} bytes is refused with -32600 and without an id.",
    32 * 1024,
    source=JSON_RPC,
    confirmed_by=ConfirmedBy.RECORDING,
    hosts=EVERY_HOST,
)
CHANNELS_PER_REQUEST = Statement(
    "channels_per_request",
    "A request to subscribe names at most {value} channels.",
    500,
    source=SUBSCRIBE,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
    hosts=(DERIBIT, COINBASE_STREAMS),
)
CONNECTIONS_PER_ADDRESS = Statement(
    "connections_per_address",
    "An address has at most {value} connections; the next one is answered with HTTP 429.",
    32,
    source=CONNECTIONS,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SESSIONS_PER_KEY = Statement(
    "sessions_per_key",
    "A key has at most {value} sessions; one more ends the session that was refreshed longest ago.",
    16,
    source=SCOPES,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
RETRY_AFTER_SECONDS = Statement(
    "retry_after_seconds",
    "The data of error 10028 has retry_after, {value} seconds, where 0 means that there is no data.",
    0.0,
    source=f"{COINBASE_SDK} reads retry_after and retry_after_ms; no page has them",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(1.0,),
)
UNAUTHENTICATED_SHARE = Statement(
    "unauthenticated_share",
    "An address without a log-in has {value} of the credits of an account.",
    1.0,
    source=f"{RATE_LIMITS} says that its limits are others and gives no numbers",
    confirmed_by=ConfirmedBy.NOBODY,
    hosts=EVERY_HOST,
    others=(0.5,),
)
LONGEST_LABEL = Statement(
    "longest_label",
    "The label of private/subscribe has at most {value} characters.",
    16,
    source=SUBSCRIBE,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
OWN_LIMITS = Statement(
    "own_limits",
    "private/get_account_summary says the limits of the account: {value}.",
    True,
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
