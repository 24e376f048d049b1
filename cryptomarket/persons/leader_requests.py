"""What a node requests of the leader for persons, and the reply, as bytes on the cluster's request channel.

No request contains a secret: a login names the place of its secret in the cache.
"""

from typing import Protocol

import msgspec

from .person import KEY_DOOR

__all__ = [
    "AccountBalance",
    "AccountRequest",
    "LeaderReply",
    "LeaderRequest",
    "LoginRequest",
    "LoginsRequest",
    "Place",
    "RequestLeader",
]

_NULL = msgspec.Raw(b"null")


class LoginRequest(msgspec.Struct, frozen=True):
    """Log in with the secret stored under ``login_id``, for the browser session with the fingerprint ``session``.

    ``client`` stands for the client id, see `LoginLimits.client`; ``address`` is the browser's. ``accepted`` (UNIX
    seconds) is when a node accepted the login, which decides its place among those of its address.
    ``browser`` is a label of that browser, ``door`` the name of the `PersonDoor` to log in by.
    """

    login_id: str = msgspec.field(name="login")
    session: str
    client: str
    address: str
    accepted: float = msgspec.field(name="at")
    browser: str = ""
    door: str = KEY_DOOR


class Place(msgspec.Struct, frozen=True):
    """The place of a login in the line, 1 being the next, and in how many seconds it is expected to be served."""

    place: int
    seconds: int


class LoginsRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="logins"):
    """Serve these logins; the reply names those that wait, are in progress or were refused. It may be repeated."""

    logins: list[LoginRequest]


class AccountRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="account"):
    """Return the balances of the person, for the browser session that a node found logged in as that person."""

    person_id: str
    session: str


LeaderRequest = LoginsRequest | AccountRequest


class AccountBalance(msgspec.Struct, frozen=True):
    """A person's balance in one currency: numbers in the exchange's own digits, or null where it sent none."""

    currency: str
    equity: msgspec.Raw = _NULL
    balance: msgspec.Raw = _NULL
    available_funds: msgspec.Raw = _NULL


class LeaderReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Balances, or in ``failed`` the reason why there are none; ``gone``: the person is no longer logged in.

    To logins, the ids of those in ``waiting`` that have not ended, with place and seconds if they must wait for long,
    and in ``refused`` of those for which there is no place. Outcomes are published to the browser sessions.
    """

    accounts: list[AccountBalance] | None = None
    failed: str = ""
    gone: bool = False
    waiting: dict[str, Place | None] = {}
    refused: list[str] = []


class RequestLeader(Protocol):
    """Sends a request to the leader and returns its reply; raises NoLeader when none comes in time."""

    async def __call__(self, body: bytes, /, *, seconds: float) -> bytes: ...
