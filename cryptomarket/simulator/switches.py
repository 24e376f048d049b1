"""The points that the exchange's documentation leaves open, each a switch, to test a client with either behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

__all__ = ["Switches"]


@dataclass(frozen=True, slots=True)
class Switches:
    """The behaviour where nothing is confirmed. The defaults are the likeliest."""

    #: Whether error 10028 is delivered before the connection ends.
    says_too_many: bool = True
    #: Whether any request answers a test_request, or only ``public/test``.
    any_traffic_proves_life: bool = False
    #: Seconds allowed for answering a test_request; 0 is one heartbeat interval.
    test_request_seconds: float = 0.0
    #: Whether the connection remembers the newest login for calls without a token, or the first one.
    adopts_last_login: bool = True
    #: Whether logins of scope ``connection`` count as sessions of the key.
    connection_logins_count: bool = False
    #: Life of a token of scope ``session:NAME``, in seconds (a year is recorded for ``connection``).
    session_expires_in: int = 31_536_000
    #: Whether a refresh without a scope keeps the old one, or is granted all rights of the key.
    refresh_keeps_scope: bool = True
    #: Whether ``none`` may be requested for every kind of right, or only for those documented with it.
    any_kind_none: bool = True
    #: Whether an answer to a login with session scope has ``sid``.
    sid: bool = False
    #: The code of a call that the token's scope does not cover: 13021 or 13403.
    missing_scope_code: int = 13021
    #: The code of a signature with a stale time stamp or a used nonce.
    stale_signature_code: int = 13004
    #: Whether a nonce may be used twice by one key.
    nonce_reuse: bool = True
    #: Whether a frame that is not JSON closes the connection after its error.
    bad_json_closes: bool = False
    #: Whether a channel without a recorded first message sends its current value on subscribing.
    first_values: bool = True
    #: Whether price statistics say ``fast_market`` (schema of 2026) instead of ``high_volatility``.
    fast_market: bool = False
    #: The WebSocket close code when the exchange ends a connection; 0 is no closing handshake at all.
    close_code: int = 1000
    #: Whether a ticker may hold a string where a number is expected (``last_price: "undefined"``, recorded 2022).
    strings_for_numbers: bool = False
    #: The HTTP status of error 10028 and of 13009.
    too_many_status: int = 429
    unauthorized_status: int = 401

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
        if text not in ("", "true", "false"):
            raise ValueError(f"switch {name}: expected true or false, not {text!r}")
        return text != "false"
    try:
        return kind(text)  # type: ignore[no-any-return]
    except ValueError:
        raise ValueError(f"switch {name}: expected a number, not {text!r}") from None
