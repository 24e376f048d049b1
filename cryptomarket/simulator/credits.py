"""The exchange's rate limits: buckets of credits that refill with time. Pure: the time is an argument (seconds)."""

from dataclasses import dataclass, field

__all__ = ["BUDGETS", "CreditAccount", "CreditLimit", "group_of"]


@dataclass(frozen=True, slots=True)
class CreditLimit:
    """The cost of a request of a group, the size of the group's bucket, and its refill per second."""

    cost: int
    burst: int
    refill: int


BUDGETS = {
    "other": CreditLimit(500, 50_000, 10_000),
    "subscribe": CreditLimit(3_000, 30_000, 10_000),
    "instruments": CreditLimit(10_000, 500_000, 10_000),
    "transactions": CreditLimit(10_000, 80_000, 10_000),
}

_GROUPS = {
    "public/subscribe": "subscribe",
    "private/subscribe": "subscribe",
    "public/get_instruments": "instruments",
    "private/get_transaction_log": "transactions",
}


def group_of(method: str) -> str:
    """The group whose bucket a method draws on."""
    return _GROUPS.get(method, "other")


@dataclass(slots=True)
class CreditAccount:
    """The buckets of one account, or of one address without a login."""

    budgets: dict[str, CreditLimit] = field(default_factory=lambda: BUDGETS)
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def pay(self, method: str, now: float) -> bool:
        """Takes the cost of a request; returns False and takes nothing when the bucket holds too little."""
        budget = self.budgets[group_of(method)]
        left, at = self._left.get(group_of(method), (float(budget.burst), now))
        left = min(budget.burst, left + (now - at) * budget.refill)
        affordable = left >= budget.cost
        self._left[group_of(method)] = (left - budget.cost if affordable else left, now)
        return affordable

    def empty(self, now: float) -> None:
        """Empties every bucket."""
        self._left = dict.fromkeys(self.budgets, (0.0, now))
