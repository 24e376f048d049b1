"""Every error of ours, so that a caller can handle a kind and a person can read a sentence.

    CryptomarketError
    ├── SettingsError            the operator: a setting is wrong
    ├── StartError               the operator: something needed at the start is not there
    ├── RequestError             the caller: a request cannot be answered
    │   ├── InvalidParameter     a parameter is missing or wrong
    │   ├── NotLoggedIn          it needs a person who is logged in
    │   ├── RequestRefused       it cannot be taken as it is; carries the HTTP status
    │   └── UnknownTicker        a ticker that is neither configured, stored nor in the catalogue
    ├── ExchangeError            the exchange
    │   ├── ExchangeRefused      it answered with an error code
    │   └── ExchangeUnreachable  it did not answer, or the connection is gone
    ├── InvalidPrice             a number that is no price
    ├── DatabaseUnavailable      the database does not answer; the work can be repeated later
    ├── CacheUnavailable         Redis does not answer; the work can be repeated later
    └── NoLeader                 no node answered an errand in time

Facts are attributes, the sentence is ``str(error)``. No message carries a secret. This file imports nothing of ours.
"""

from collections.abc import Sequence

__all__ = [
    "CacheUnavailable",
    "CryptomarketError",
    "DatabaseUnavailable",
    "ExchangeError",
    "ExchangeRefused",
    "ExchangeUnreachable",
    "InvalidParameter",
    "InvalidPrice",
    "NoLeader",
    "NotLoggedIn",
    "RequestError",
    "RequestRefused",
    "SettingsError",
    "StartError",
    "UnknownTicker",
]


class CryptomarketError(Exception):
    """The base of every error this package raises on purpose."""


class SettingsError(CryptomarketError):
    """A setting cannot be used; names every variable at fault and what was expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class StartError(CryptomarketError):
    """Something the program needs to start is missing or taken: a port, a file, a database."""


class RequestError(CryptomarketError):
    """A request that cannot be answered, by the fault of the one who asked."""


class InvalidParameter(RequestError):
    """A parameter is missing or has a value that is not allowed."""

    def __init__(self, parameter: str, expected: str) -> None:
        super().__init__(parameter, expected)
        self.parameter = parameter
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.parameter}: expected {self.expected}"


class NotLoggedIn(RequestError):
    """The request needs a person, and there is none, or not any more."""


class RequestRefused(RequestError):
    """A request that cannot be taken as it is: the HTTP status, what was expected, and when to come back (seconds)."""

    def __init__(self, status: int, expected: str, *, retry_after: int | None = None) -> None:
        super().__init__(status, expected, retry_after)
        self.status = status
        self.expected = expected
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"expected {self.expected}"


class UnknownTicker(RequestError):
    """A ticker nobody knows; carries the names nearest to it."""

    def __init__(self, ticker: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(ticker, nearest)
        self.ticker = ticker
        self.nearest = tuple(nearest)

    def __str__(self) -> str:
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        return f"unknown ticker {self.ticker!r}{hint}"


class ExchangeError(CryptomarketError):
    """The exchange did not do what was asked of it."""


class ExchangeRefused(ExchangeError):
    """The exchange answered a request with an error; ``code`` is Deribit's number."""

    def __init__(self, method: str, code: int, message: str, reason: str = "") -> None:
        super().__init__(method, code, message, reason)
        self.method = method
        self.code = code
        self.message = message
        self.reason = reason

    def __str__(self) -> str:
        detail = f" ({self.reason})" if self.reason else ""
        return f"{self.method} was refused: {self.code} {self.message}{detail}"


class ExchangeUnreachable(ExchangeError):
    """The exchange did not answer in time, or the connection to it broke."""


class InvalidPrice(CryptomarketError, ValueError):
    """A number that is not finite or has more digits than any price."""


class DatabaseUnavailable(CryptomarketError):
    """The database cannot be reached or is locked; nothing was written, and the work can be repeated."""


class CacheUnavailable(CryptomarketError):
    """The cache (Redis) did not answer in time, or refused; the work can be repeated."""


class NoLeader(CryptomarketError):
    """No node answered an errand in time: there is no leader, or it is cut off."""
