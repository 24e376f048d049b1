"""A person who is logged in, as the cache has it, and how long a login lives. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from .tokens import Tokens

__all__ = ["KEY_DOOR", "LIFE_SECONDS", "MAX_LOGIN_SECONDS", "Person", "SessionLogin"]

#: 27 hours from the last sign of use: a person who comes once a day stays logged in.
LIFE_SECONDS = 97_200
#: A login ends so many seconds after the person's last log-in, however often it is used.
MAX_LOGIN_SECONDS = 7 * 86_400
#: The door of persons who logged in with a key of the exchange, and of records that name none.
KEY_DOOR = "deribit"


@dataclass(frozen=True, slots=True)
class SessionLogin:
    """A person's login in one browser session: since when, and the last sign of use, in UNIX seconds.

    ``browser`` is a label of the browser, empty if it is not known.
    """

    login_id: str
    browser: str
    first: int
    used: int

    @property
    def public_id(self) -> str:
        """The name of this login for the person; neither cookie nor token can be computed from it."""
        return hashlib.sha256(f"login {self.login_id}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Person:
    """A person who is logged in; times are UNIX seconds.

    ``first`` is when the person logged in, ``used`` the last sign of use. The tokens came at ``issued`` and belong to
    ``exchange_session``, which every renewal names; ``problem`` is why the last renewal failed, empty if it did not.
    ``sessions`` maps each browser session that is logged in to its login, the oldest first. ``door`` is the name of the
    `PersonDoor` by which the person came; ``refreshing`` is when a leader began to use the single-use refresh token, 0
    once its successor is stored.
    """

    person_id: str
    username: str
    email: str
    scope: str
    first: int
    used: int
    issued: float
    tokens_expire_at: float
    exchange_session: str
    tokens: Tokens
    problem: str = ""
    sessions: Mapping[str, SessionLogin] = field(default_factory=dict)
    door: str = KEY_DOOR
    refreshing: float = 0.0

    @property
    def _ends_at(self) -> float:
        return min(self.used + LIFE_SECONDS, self.first + MAX_LOGIN_SECONDS)

    @property
    def renewable_until(self) -> float:
        """Until when the tokens can be renewed: those of OAuth also after the token for calls has expired."""
        return self._ends_at if self.tokens.oauth else min(self._ends_at, self.tokens_expire_at)

    @property
    def expires_at(self) -> int:
        """When access ends as things stand; while the tokens cannot be renewed, that is when it becomes too late."""
        return int(self.renewable_until if self.problem else self._ends_at)

    def __repr__(self) -> str:
        return f"<Person {self.person_id}>"
