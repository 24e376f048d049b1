"""Builds the parts of persons: those of every node, and those of the leader."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..deribit.doors import OAuth
from ..model import LoginsWaiting, Message, SessionChanged
from ..persons.accounts import AccountClient, AccountReader
from ..persons.authenticator import Authenticator
from ..persons.browser_sessions import BrowserSessions
from ..persons.cache import Cache
from ..persons.coinbase_door import COINBASE_DOOR, CoinbaseDoor, LoginServer
from ..persons.coinbase_login import CoinbaseLogin
from ..persons.grants import Call
from ..persons.leader_requests import RequestLeader
from ..persons.leader_worker import LeaderWorker
from ..persons.limits import LoginLimits
from ..persons.login_flow import LoginFlow
from ..persons.login_queue import LoginQueue
from ..persons.login_secrets import LoginSecrets
from ..persons.notifications import LoginFailures, Notifier
from ..persons.person import Person
from ..persons.person_door import PersonDoors
from ..persons.revocations import Revocations
from ..persons.session_cookies import SessionCookies
from ..persons.token_renewal import TokenRenewal
from ..persons.vault import Vault
from ..persons.waiting_logins import WaitingLogins
from ..persons.waiting_notices import WaitingNotices
from ..public_site import ANY_SITE, PublicSite
from ..refusals import Refused, ignore_refusal
from ..stream.manager import ServerSSEManager
from ..web.api.persons import PersonServices

__all__ = ["Coinbase", "Persons"]


@dataclass(frozen=True, slots=True)
class Coinbase:
    """What log-in at Coinbase needs: its login server and our client of it, and the calls of persons."""

    server: OAuth
    client_id: str
    client: LoginServer
    call: Call


class Persons:
    """One node's parts over a cache, the way to the leader and the way to all nodes.

    ``on_change`` is called with the id of a person and the record that was stored, None for the end of the login.
    ``services`` is what requests need; the other public parts run in the background.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        *,
        request_leader: RequestLeader,
        publish: Callable[[SessionChanged | LoginsWaiting], None],
        has_leader: Callable[[], bool],
        streams: ServerSSEManager,
        logins_per_minute: int,
        coinbase: Coinbase | None = None,
        site: PublicSite = ANY_SITE,
        on_change: Callable[[str, Person | None], None] = lambda _id, _person: None,
        refused: Refused = ignore_refusal,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._publish = publish
        self._refused = refused
        self._cache_lasts = cache.lasting
        self._monotonic, self._wall = monotonic, wall
        self.revocations = Revocations(coinbase.client if coinbase else None)
        self.sessions = BrowserSessions(
            cache, vault, publish=publish, on_change=on_change, on_end=self.revocations.add, wall=wall
        )
        self._failures = LoginFailures(cache, vault, publish=publish)
        self._login_secrets = LoginSecrets(cache, vault)
        self._most_per_address = logins_per_minute
        self._limits = LoginLimits(cache, vault.keyring.sign, per_minute=logins_per_minute, wall=wall)
        self.login_queue = LoginQueue(
            request_leader, self._login_secrets, self._failures, has_leader=has_leader, monotonic=monotonic, wall=wall
        )
        self.waiting_notices = WaitingNotices(self._login_secrets, send=streams.send)
        self.notifier = Notifier(
            self.sessions,
            self._failures,
            send=streams.send,
            has_streams=streams.has_session,
            open_sessions=streams.sessions,
            monotonic=monotonic,
            wall=wall,
        )
        self.services = PersonServices(
            Authenticator(self.sessions, SessionCookies(vault.keyring, site), site, publish=publish),
            self.login_queue,
            AccountClient(request_leader),
            self._login_secrets,
            self._limits,
            self._failures,
            CoinbaseLogin(cache, vault, coinbase.server, coinbase.client_id) if coinbase else None,
            refused,
        )
        self._coinbase = coinbase

    def on_message(self, message: Message) -> None:
        """Apply a message of the bus."""
        self.login_queue.on_message(message)
        self.waiting_notices.on_message(message)
        self.notifier.on_message(message)

    def leader_worker(self, doors: PersonDoors) -> LeaderWorker:
        """Return what the leader runs, for persons who come by these doors, or by Coinbase where it is offered."""
        if self._coinbase is not None:
            coinbase = CoinbaseDoor(self._coinbase.call, self._coinbase.client, wall=self._wall)
            doors = {**doors, COINBASE_DOOR: coinbase}
        renewal = TokenRenewal(doors, self.sessions, publish=self._publish, wall=self._wall)
        accounts = AccountReader(doors, self.sessions, renew=renewal.renew, end=renewal.end, monotonic=self._monotonic)
        login_flow = LoginFlow(
            doors,
            self._login_secrets,
            self.sessions,
            self._limits,
            self._failures,
            publish=self._publish,
            on_login=(renewal.add, accounts.forget),
            refused=self._refused,
            wall=self._wall,
        )
        logins = WaitingLogins(
            login_flow.log_in,
            login_flow.refuse,
            self._login_secrets,
            failures=self._limits.failures,
            publish=self._publish,
            most_per_address=self._most_per_address,
            lasting=self._cache_lasts,
            monotonic=self._monotonic,
            wall=self._wall,
        )
        return LeaderWorker(login_flow, logins, accounts, renewal)
