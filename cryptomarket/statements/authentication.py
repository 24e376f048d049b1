"""Logging in: grants, signatures, scopes, and how long tokens live."""

from .sources import AUTHENTICATION, INFERRED, PUBLIC_AUTH, SCOPES
from .statement import ConfirmedBy, Statement

__all__ = [
    "ADOPTS_LAST_LOGIN",
    "ANY_KIND_NONE",
    "CONNECTION_EXPIRES_IN",
    "CONNECTION_LOGINS_COUNT",
    "CONNECTION_TOKEN_ELSEWHERE",
    "DEFAULT_SCOPE",
    "EMPTY_NONCE",
    "EVICTS_SESSIONS",
    "EXPIRES_OBEYED",
    "FORK_NEEDS_SESSION",
    "GRANT_FIELDS",
    "LABEL_RETURNED",
    "LOGIN_REMEMBERED",
    "NONCE_REUSE",
    "NONE_OBEYED",
    "PORTFOLIO_LOWER_CASE",
    "REFRESH_ENDS_PAIR",
    "REFRESH_KEEPS_SCOPE",
    "SESSION_EXPIRES_IN",
    "SESSION_GRANTED",
    "SESSION_TOKEN_ELSEWHERE",
    "SID",
    "SIGNATURE_SECONDS",
    "STATE_RETURNED",
    "SUMMARIES_EXTENDED",
    "SUMMARY_NEEDS_CURRENCY",
    "TOKEN_TYPE",
]

GRANT_FIELDS = Statement(
    "grant_fields",
    "The answer to a log-in with a key has the fields {value}.",
    ("access_token", "expires_in", "refresh_token", "scope", "token_type"),
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
TOKEN_TYPE = Statement(
    "token_type",
    "The type of a token is the text {value}.",
    "bearer",
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
STATE_RETURNED = Statement(
    "state_returned",
    "The parameter state of a log-in comes back in its answer: {value}.",
    True,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
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
EXPIRES_OBEYED = Statement(
    "expires_obeyed",
    "The word expires:SECONDS in a scope shortens the life of the tokens: {value}.",
    True,
    source=SCOPES,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
DEFAULT_SCOPE = Statement(
    "default_scope",
    "A log-in without a session is granted the word {value}.",
    "connection",
    source=SCOPES,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SESSION_GRANTED = Statement(
    "session_granted",
    "A log-in with a session is granted the word session:NAME: {value}.",
    True,
    source=SCOPES,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
CONNECTION_TOKEN_ELSEWHERE = Statement(
    "connection_token_elsewhere",
    "A token of scope connection is accepted on another connection: {value}.",
    False,
    source=AUTHENTICATION,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SESSION_TOKEN_ELSEWHERE = Statement(
    "session_token_elsewhere",
    "A token of scope session:NAME is accepted on another connection and over HTTP: {value}.",
    True,
    source=AUTHENTICATION,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
LOGIN_REMEMBERED = Statement(
    "login_remembered",
    "A connection that is logged in may leave out the token of a private call: {value}.",
    True,
    source=AUTHENTICATION,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
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
REFRESH_ENDS_PAIR = Statement(
    "refresh_ends_pair",
    "A refresh of a token makes the refresh token before it invalid: {value}.",
    True,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
REFRESH_KEEPS_SCOPE = Statement(
    "refresh_keeps_scope",
    "A refresh that names no scope keeps the old one and is not granted all rights of the key: {value}.",
    True,
    source=INFERRED,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(False,),
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
NONE_OBEYED = Statement(
    "none_obeyed",
    "A kind of right that a scope names with none is not granted: {value}.",
    True,
    source=SCOPES,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SID = Statement(
    "sid",
    "The answer to a login with a session has the field sid: {value}.",
    False,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.NOBODY,
    others=(True,),
)
FORK_NEEDS_SESSION = Statement(
    "fork_needs_session",
    "A token without a session can be forked into a new session: {value}.",
    False,
    source=PUBLIC_AUTH,
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SUMMARIES_EXTENDED = Statement(
    "summaries_extended",
    "With extended, private/get_account_summaries has the fields {value}.",
    ("id", "email", "username", "system_name", "type", "summaries"),
    source="https://docs.deribit.com/api-reference/account-management/private-get_account_summaries.md",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
SUMMARY_NEEDS_CURRENCY = Statement(
    "summary_needs_currency",
    "private/get_account_summary without a currency is answered with the reason {value}.",
    "value required",
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
PORTFOLIO_LOWER_CASE = Statement(
    "portfolio_lower_case",
    "The channel user.portfolio.BTC is delivered as user.portfolio.btc: {value}.",
    True,
    source="a recording of 2025",
    confirmed_by=ConfirmedBy.RECORDING,
)
LABEL_RETURNED = Statement(
    "label_returned",
    "The label of private/subscribe comes back in the notifications of the account: {value}.",
    True,
    source="https://docs.deribit.com/api-reference/subscription-management/private-subscribe.md",
    confirmed_by=ConfirmedBy.DOCUMENTATION,
)
