"""The table of checks: which function checks which statements, and what it needs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..statements import Statement
from .rows import Observation

if TYPE_CHECKING:
    from .host import Host

__all__ = ["CHECKS", "StatementCheck", "check"]

Function = Callable[["Host"], AsyncIterator[Observation]]


@dataclass(frozen=True, slots=True)
class StatementCheck:
    """A function that yields an observation for each of its statements."""

    function: Function
    statements: tuple[Statement[Any], ...]
    #: It needs an API key.
    login: bool = False
    #: It waits for more than some seconds, which ``--quick`` leaves out.
    slow: bool = False
    #: It goes beyond a limit once, or can end other sessions of the key: only with ``--exceed-limits``.
    exceeds: bool = False

    @property
    def name(self) -> str:
        return self.function.__name__

    def of(self, host: str) -> tuple[Statement[Any], ...]:
        """Its statements that hold for a kind of host."""
        return tuple(one for one in self.statements if host in one.hosts)

    @property
    def unconfirmed(self) -> bool:
        """Whether nobody has confirmed one of its statements."""
        return any(not one.confirmed for one in self.statements)


CHECKS: list[StatementCheck] = []


def check(
    *statements: Statement[Any], login: bool = False, slow: bool = False, exceeds: bool = False
) -> Callable[[Function], Function]:
    """Enter a function as the check of the statements."""

    def enter(function: Function) -> Function:
        CHECKS.append(StatementCheck(function, statements, login, slow, exceeds))
        return function

    return enter
