"""Every error class of the package, grouped by whose fault the error is.

    Exception
    ├── InternalError                 ours: a bug; logged with a traceback, never shown as another's failure
    │   ├── IllegalTransition         a step that the state of the connection does not allow (deribit)
    │   └── UnsafeCall                a call that would act for all persons on the shared connection (deribit)
    ├── _StopParsing                  no error: a refused request is not parsed to its end (app)
    └── CryptomarketError             everything expected
        ├── RequestError              the caller's: a request cannot be answered
        │   ├── InvalidParameter      a parameter is missing or wrong
        │   ├── NoPriceYet            the ticker is known, but no price of it has arrived (web)
        │   ├── NotLoggedIn           the request needs a person who is logged in
        │   ├── RequestRefused        the request cannot be accepted; carries the HTTP status
        │   └── UnknownTicker         the ticker is neither configured, stored nor in the catalogue
        ├── LoginFailed               a person's login ended without a session; carries the sentence shown (persons)
        ├── LoginEnded                a person's tokens cannot be renewed; carries the sentence shown (persons)
        ├── MissingRights             a key may not read the account (persons)
        ├── WideGrant                 the exchange granted more than reading (persons)
        ├── ExchangeError             the exchange's
        │   ├── ExchangeRefused       it answered with an error code
        │   ├── ExchangeUnreachable   it did not answer, or the connection broke
        │   ├── LoginServerRefused    the login server of a door answered with an error word
        │   └── WrongHost             it answered, but this host does not do what it is needed for
        ├── EnvironmentFault          the environment's: the operator can mend it
        │   ├── SettingsError         a setting is wrong
        │   ├── StartError            something needed at the start is missing
        │   ├── DatabaseUnavailable   the database does not answer; the work can be repeated
        │   ├── CacheUnavailable      Redis does not answer; the work can be repeated
        │   └── NoLeader              no node answered a request to the leader in time
        └── InvalidInput              data that is refused, from any source
            ├── InvalidPrice          a number that is not a price
            ├── UnreadableMessage     a message of the exchange in another shape than documented (deribit)
            ├── UnreadableBatch       bytes from Redis that are not a batch of messages (cluster)
            └── CannotOpen            a sealed record that no key opens (persons)

The simulator imports nothing of this file, because it could be published alone; it has its own errors:

    Exception
    ├── CannotSimulate                the command line cannot be carried out
    ├── ConnectionEnded               the connection ends without a response
    ├── OAuthRefusal                  the OAuth2 server of a simulated Coinbase refuses a request
    └── RpcError                      the request is answered with an error code
        └── MalformedRequest          the frame is no JSON-RPC request
    ValueError
    └── UnreadableRecording           a recording in another shape than documented

`InternalError` is not a `CryptomarketError`, so that no handler of expected errors catches a bug. Facts are attributes,
the sentence is ``str(error)``. No sentence contains a secret. This module imports nothing of the package.
"""

from collections.abc import Sequence

__all__ = [
    "CacheUnavailable",
    "CryptomarketError",
    "DatabaseUnavailable",
    "EnvironmentFault",
    "ExchangeError",
    "ExchangeRefused",
    "ExchangeUnreachable",
    "InternalError",
    "InvalidInput",
    "InvalidParameter",
    "InvalidPrice",
    "LoginServerRefused",
    "NoLeader",
    "NotLoggedIn",
    "RequestError",
    "RequestRefused",
    "SettingsError",
    "StartError",
    "UnknownTicker",
    "WrongHost",
]


class InternalError(Exception):
    """A bug of this package. A handler of it logs the traceback and never blames the exchange or the caller."""


class CryptomarketError(Exception):
    """The base of every expected error."""


class RequestError(CryptomarketError):
    """A request that cannot be answered; the caller must change it."""


class InvalidParameter(RequestError):
    """A parameter is missing or has a value that is not allowed."""

    def __init__(self, parameter: str, expected: str) -> None:
        super().__init__(parameter, expected)
        self.parameter = parameter
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.parameter}: expected {self.expected}"


class NotLoggedIn(RequestError):
    """The request needs a person, and the browser session has none."""


class RequestRefused(RequestError):
    """A request that cannot be accepted: HTTP status, what was expected, and seconds until a retry may succeed.

    ``reason`` is the word under which the refusal is counted and logged, empty for that of the status.
    """

    def __init__(self, status: int, expected: str, *, retry_after: int | None = None, reason: str = "") -> None:
        super().__init__(status, expected, retry_after)
        self.status = status
        self.expected = expected
        self.retry_after = retry_after
        self.reason = reason

    def __str__(self) -> str:
        return f"expected {self.expected}"


class UnknownTicker(RequestError):
    """A ticker that does not exist; ``nearest`` holds the most similar known names, ``parameter`` asked for it."""

    def __init__(self, ticker: str, nearest: Sequence[str] = (), parameter: str = "ticker") -> None:
        super().__init__(ticker, nearest, parameter)
        self.ticker = ticker
        self.parameter = parameter
        self.nearest = tuple(nearest)

    def __str__(self) -> str:
        hint = f"; did you mean {', '.join(self.nearest)}?" if self.nearest else ""
        return f"unknown ticker {self.ticker!r}{hint}"


class ExchangeError(CryptomarketError):
    """The exchange did not do what was requested."""


class ExchangeRefused(ExchangeError):
    """The exchange answered a request with an error; ``code`` is Deribit's number.

    ``retry_after``: the seconds to wait that it asked for, 0 when it asked for none.
    """

    def __init__(self, method: str, code: int, message: str, reason: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(method, code, message, reason)
        self.method = method
        self.code = code
        self.message = message
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        detail = f" ({self.reason})" if self.reason else ""
        return f"{self.method} was refused: {self.code} {self.message}{detail}"


class LoginServerRefused(ExchangeError):
    """The login server of a door refused a request; ``word`` is that of RFC 6749, such as ``invalid_grant``."""

    def __init__(self, endpoint: str, word: str) -> None:
        super().__init__(endpoint, word)
        self.endpoint = endpoint
        self.word = word

    def __str__(self) -> str:
        return f"oauth2/{self.endpoint} was refused: {self.word}"


class ExchangeUnreachable(ExchangeError):
    """The exchange did not answer in time, or the connection to it broke."""


class WrongHost(ExchangeError):
    """A host of the exchange that sends no prices at all, so it is the wrong one; ``host`` is its name."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return f"{self.host} sends no prices: wrong host? see CRYPTOMARKET_EXCHANGE and CRYPTOMARKET_DERIBIT_WS_URL"


class EnvironmentFault(CryptomarketError):
    """Something around the program is wrong or away: settings, files, ports, the database, Redis, the leader."""


class SettingsError(EnvironmentFault):
    """Settings cannot be used; ``problems`` has a sentence for each variable: its name and what was expected."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class StartError(EnvironmentFault):
    """Something the program needs to start is missing or taken: a port, a file, a database."""


class DatabaseUnavailable(EnvironmentFault):
    """The database cannot be reached or is locked; nothing was written, and the work can be repeated."""


class CacheUnavailable(EnvironmentFault):
    """The cache (Redis) did not answer in time, or refused; the work can be repeated."""


class NoLeader(EnvironmentFault):
    """No node answered a request to the leader in time: there is no leader, or it is cut off."""


class InvalidInput(CryptomarketError):
    """Data that cannot be used; the message names the problem and never repeats the data."""


class InvalidPrice(InvalidInput, ValueError):
    """A number that is not finite or has more digits than any price."""
