"""Logging in: grants, signatures, scopes, and how long tokens live."""

from .sources import INFERRED, PUBLIC_AUTH, SCOPES
from .statement import ConfirmedBy, Statement

__all__ = [
    "ADOPTS_LAST_LOGIN",
    "ANY_KIND_NONE",
    "CONNECTION_EXPIRES_IN",
    "CONNECTION_LOGINS_COUNT",
    "EMPTY_NONCE",
    "EVICTS_SESSIONS",
    "NONCE_REUSE",
    "REFRESH_KEEPS_SCOPE",
    "SESSION_EXPIRES_IN",
    "SID",
    "SIGNATURE_SECONDS",
]

SIGNATURE_SECONDS = Statement(
    "signature_seconds",
    "The timestamp of a signature is accepted for {value} seconds.",
    60,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
NONCE_REUSE = Statement(
    "nonce_reuse",
    "One key may use a nonce twice: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
CONNECTION_EXPIRES_IN = Statement(
    "connection_expires_in",
    "A token of scope connection lives {value} seconds.",
    31_536_000,
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
SESSION_EXPIRES_IN = Statement(
    "session_expires_in",
    "A token of scope session:NAME lives {value} seconds.",
    31_536_000,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(900, 315_360_000),
)
ADOPTS_LAST_LOGIN = Statement(
    "adopts_last_login",
    "A connection remembers its newest login for calls without a token, not its first one: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
CONNECTION_LOGINS_COUNT = Statement(
    "connection_logins_count",
    "Logins of scope connection count as sessions of the key: {value}.",
    False,
    source=f"{SCOPES} says both",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(True,),
)
REFRESH_KEEPS_SCOPE = Statement(
    "refresh_keeps_scope",
    "A refresh that names no scope keeps the old one and is not granted all rights of the key: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
SID = Statement(
    "sid",
    "The answer to a login with a session has the field sid: {value}.",
    False,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(True,),
)
ANY_KIND_NONE = Statement(
    "any_kind_none",
    "A scope may name none for every kind of right, not only for the documented ones: {value}.",
    True,
    source=f"{SCOPES} has account:none, trade:none and wallet:none",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
EVICTS_SESSIONS = Statement(
    "evicts_sessions",
    "One session more than a key may have ends an older one and is not refused: {value}.",
    True,
    source=f"{SCOPES} says it; nobody saw it",
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
EMPTY_NONCE = Statement(
    "empty_nonce",
    "A signature without a nonce is accepted, with an empty line in its place: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
)
