"""What the outcome of a request leads to: one row for each purpose of a request, one column for each outcome."""

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ExchangeRefused
from .effects import Effect, ProtocolWarning
from .protocol import Request, Result

__all__ = ["Outcomes", "no_answer", "refusal"]


def nothing(_result: Result, _now: float) -> list[Effect]:
    """The answer changes nothing."""
    return []


def refusal(_request: Request, error: ExchangeRefused, _now: float) -> list[Effect]:
    """A warning with the error."""
    return [ProtocolWarning(str(error))]


def no_answer(request: Request, _now: float) -> list[Effect]:
    """A warning that the request was not answered."""
    return [ProtocolWarning(f"{request.method} was not answered")]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The handlers of one purpose. Each may raise ExchangeRefused or ExchangeUnreachable to end the connection."""

    answered: Callable[[Result, float], list[Effect]] = nothing
    refused: Callable[[Request, ExchangeRefused, float], list[Effect]] = refusal
    expired: Callable[[Request, float], list[Effect]] = no_answer
