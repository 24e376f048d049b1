"""The exchange's rate limits: buckets of credits that refill with time. Pure: the time is an argument (seconds)."""

from dataclasses import dataclass, field

from ..statements.limits import (
    CREDITS_INSTRUMENTS,
    CREDITS_OTHER,
    CREDITS_SUBSCRIBE,
    CREDITS_TRANSACTIONS,
    CreditLimit,
)

__all__ = ["BUDGETS", "CreditAccount", "group_of"]

BUDGETS = {
    "other": CREDITS_OTHER.value,
    "subscribe": CREDITS_SUBSCRIBE.value,
    "instruments": CREDITS_INSTRUMENTS.value,
    "transactions": CREDITS_TRANSACTIONS.value,
}

_GROUPS = {method: group for group, limit in BUDGETS.items() for method in limit.methods}


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
