"""The statements that nobody has confirmed, each a switch, to test a client with either behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..statements import authentication, channels, coinbase, connection, errors, limits

__all__ = ["Switches"]

#: The words of a switch that is on or off: also those of docs/exchange.md.
BOOLEANS = {"": True, "true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Switches:
    """The behaviour where nothing is confirmed. Each switch is the statement of the same name, which describes it."""

    says_too_many: bool = limits.SAYS_TOO_MANY.value
    any_traffic_proves_life: bool = connection.ANY_TRAFFIC_PROVES_LIFE.value
    test_request_seconds: float = connection.TEST_REQUEST_SECONDS.value
    adopts_last_login: bool = authentication.ADOPTS_LAST_LOGIN.value
    connection_logins_count: bool = authentication.CONNECTION_LOGINS_COUNT.value
    session_expires_in: int = authentication.SESSION_EXPIRES_IN.value
    refresh_keeps_scope: bool = authentication.REFRESH_KEEPS_SCOPE.value
    any_kind_none: bool = authentication.ANY_KIND_NONE.value
    sid: bool = authentication.SID.value
    missing_scope_code: int = errors.MISSING_SCOPE_CODE.value
    stale_signature_code: int = errors.STALE_SIGNATURE_CODE.value
    nonce_reuse: bool = authentication.NONCE_REUSE.value
    first_values: bool = channels.FIRST_VALUES.value
    fast_market: bool = channels.FAST_MARKET.value
    close_code: int = connection.CLOSE_CODE.value
    states_of_2026: bool = channels.STATES_OF_2026.value
    strings_for_numbers: bool = channels.STRINGS_FOR_NUMBERS.value
    too_many_status: int = limits.TOO_MANY_STATUS.value
    retry_after_seconds: float = limits.RETRY_AFTER_SECONDS.value
    unauthenticated_share: float = limits.UNAUTHENTICATED_SHARE.value
    evicts_sessions: bool = authentication.EVICTS_SESSIONS.value
    empty_nonce: bool = authentication.EMPTY_NONCE.value
    coinbase_silence_seconds: float = coinbase.COINBASE_SILENCE_SECONDS.value
    coinbase_http_expires_in: int = coinbase.COINBASE_HTTP_EXPIRES_IN.value
    coinbase_socket_expires_in: int = coinbase.COINBASE_SOCKET_EXPIRES_IN.value
    coinbase_socket_token: bool = coinbase.COINBASE_SOCKET_TOKEN.value
    coinbase_rejected_code: int = coinbase.COINBASE_REJECTED_CODE.value
    coinbase_refresh_status: int = coinbase.COINBASE_REFRESH_STATUS.value
    coinbase_reuse_revokes: bool = coinbase.COINBASE_REUSE_REVOKES.value

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Switches":
        """Switches from ``name=value`` words, as a command line has them; raises ValueError naming what is wrong."""
        known = {field.name: field for field in fields(cls)}
        chosen: dict[str, bool | int | float] = {}
        for word in words:
            name, _, text = word.partition("=")
            if name not in known:
                raise ValueError(f"unknown switch {name!r}: expected one of {', '.join(sorted(known))}")
            chosen[name] = _value(name, text, type(known[name].default))
        return cls(**chosen)  # type: ignore[arg-type]


def _value(name: str, text: str, kind: type) -> bool | int | float:
    if kind is bool:
        if text not in BOOLEANS:
            raise ValueError(f"switch {name}: expected true or false, not {text!r}")
        return BOOLEANS[text]
    try:
        return kind(text)  # type: ignore[no-any-return]
    except ValueError:
        raise ValueError(f"switch {name}: expected a number, not {text!r}") from None
