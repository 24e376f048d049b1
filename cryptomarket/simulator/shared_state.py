"""What all connections of the simulated exchange share: market, accounts, switches, clock, state of the platform."""

import random as random_module
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ..statements.limits import CreditLimit
from .accounts import Accounts, IssuedGrant
from .active_faults import ActiveFaults
from .channels import Channels
from .credits import BUDGETS, CreditAccount
from .doors import DERIBIT, SimulatedDoor
from .indices import INDICES
from .market import Market
from .orders import Orders
from .switches import Switches

__all__ = ["PlatformMode", "SharedState"]


@dataclass(slots=True)
class PlatformMode:
    """The state of the platform that affects all connections."""

    maintenance: bool = False
    locked: set[str] = field(default_factory=set)
    all_locked: bool = False
    settling: bool = False
    unauthenticated_calls: bool = True

    def locks(self, index: str) -> bool:
        """Whether the index is locked."""
        return self.all_locked or index in self.locked


@dataclass(slots=True)
class SharedState:
    """The shared state of one exchange; ``skew_seconds`` is the error of its clock."""

    market: Market
    accounts: Accounts
    channels: Channels
    switches: Switches
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    random: random_module.Random
    testnet: bool = True
    door: SimulatedDoor = DERIBIT
    budgets: dict[str, CreditLimit] = field(default_factory=lambda: BUDGETS)
    platform: PlatformMode = field(default_factory=PlatformMode)
    active_faults: ActiveFaults = field(default_factory=ActiveFaults)
    skew_seconds: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    orders: Orders = field(init=False)
    _credit_accounts: dict[str, CreditAccount] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.orders = Orders(self.market)

    def now(self) -> float:
        """The time of the exchange, UNIX seconds."""
        return self.wall() + self.skew_seconds

    def now_ms(self) -> int:
        """The time of the exchange, UNIX ms."""
        return int(self.now() * 1000)

    def now_us(self) -> int:
        """The time of the exchange, UNIX us."""
        return int(self.now() * 1_000_000)

    def index_state(self, name: str) -> dict[str, Any]:
        """The data of ``platform_state`` about one index."""
        return {"price_index": name, "locked": self.platform.locks(name), "reasons": []}

    def locks(self, channel: str) -> bool:
        """Whether the channel sends nothing because its index, or that of its instrument, is locked."""
        if not (self.platform.all_locked or self.platform.locked):
            return False
        name = channel.split(".")[1] if "." in channel else ""
        instrument = self.market.instruments(self.now_ms()).get(name)
        index = instrument.price_index if instrument is not None else name
        return index in INDICES and self.platform.locks(index)

    def index_states(self) -> list[dict[str, Any]]:
        """What a new subscriber of ``platform_state`` is sent at once, one notification for each index."""
        return [self.index_state(name) for name in self.market.index_names]

    def credit_account(self, grant: IssuedGrant | None, address: str) -> CreditAccount:
        """Returns the credits of an account, or of an address without a login."""
        owner = f"key {grant.account.client_id}" if grant is not None else f"address {address}"
        budgets = self.budgets if grant is not None else self._unauthenticated_budgets()
        return self._credit_accounts.setdefault(owner, CreditAccount(budgets))

    def _unauthenticated_budgets(self) -> dict[str, CreditLimit]:
        share = self.switches.unauthenticated_share
        if share == 1:
            return self.budgets
        return {
            group: replace(limit, burst=int(limit.burst * share), refill=int(limit.refill * share))
            for group, limit in self.budgets.items()
        }

    def exhaust_credits(self) -> None:
        """Empties all credit buckets."""
        for credit_account in self._credit_accounts.values():
            credit_account.empty(self.monotonic())
