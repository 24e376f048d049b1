"""The office: everything one node does for persons, put together over a cache, a desk and a bus."""

import time
from collections.abc import Callable

from ..model import SessionChanged
from .browser_sessions import BrowserSessions, Person
from .cache import Cache
from .front import Ask, Front
from .leader_worker import LeaderWorker
from .limits import Limits
from .login_flow import Call, LoginFlow
from .notifications import Notifier
from .vault import Vault

__all__ = ["Office"]


class Office:
    """The parts of persons on one node.

    ``front`` answers requests and ``announcer`` tells streams, on every node; ``service`` makes what the leader does.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        *,
        ask: Ask,
        publish: Callable[[SessionChanged], None],
        send: Callable[[str, str], int],
        present: Callable[[str], bool],
        everybody: Callable[[], list[str]] = list,
        logins_per_minute: int,
        led: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.cache = cache
        self.vault = vault
        self.limits = Limits(cache, per_minute=logins_per_minute, wall=wall)
        self.sessions = BrowserSessions(cache, vault, wall=wall)
        self.front = Front(cache, vault, self.sessions, ask=ask, publish=publish, led=led)
        self.notifier = Notifier(
            cache, vault, self.sessions, send=send, present=present, everybody=everybody, monotonic=monotonic, wall=wall
        )
        self._publish = publish
        self._monotonic, self._wall = monotonic, wall

    def service(self, call: Call, *, met: Callable[[Person], None] = lambda _: None) -> LeaderWorker:
        """What the leader does for persons, over its connection to the exchange."""
        login = LoginFlow(call, self.cache, self.vault, self.sessions, self.limits, wall=self._wall)
        return LeaderWorker(
            call,
            self.cache,
            self.sessions,
            login,
            publish=self._publish,
            met=met,
            monotonic=self._monotonic,
            wall=self._wall,
        )
