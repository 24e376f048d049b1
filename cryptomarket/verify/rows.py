"""What a run of `cryptomarket verify` says of one statement at one host."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..statements import Statement
from ..statements.statement import shown

__all__ = ["Observation", "Row", "Verdict", "saw", "unseen"]

MOST_CHARACTERS = 120


class Verdict(StrEnum):
    """Whether the exchange does what a statement says."""

    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check saw of a statement. ``holds`` is None when there was nothing to judge it by; ``seen`` says why."""

    statement: Statement[Any]
    seen: str
    holds: bool | None


def saw(statement: Statement[Any], value: Any, *, holds: bool | None = None) -> Observation:
    """A value that was seen. It must equal that of the statement, unless ``holds`` says otherwise."""
    return Observation(statement, _shown(value), value == statement.value if holds is None else holds)


def unseen(statement: Statement[Any], why: str) -> Observation:
    """The statement was not checked, and why."""
    return Observation(statement, why, None)


@dataclass(frozen=True, slots=True)
class Row:
    """The outcome of one statement at one kind of host; ``seen`` is the reason where it was not checked."""

    statement: Statement[Any]
    host: str
    result: Verdict
    seen: str

    @classmethod
    def of(cls, observation: Observation, host: str) -> "Row":
        """The row of what a check saw."""
        result = {True: Verdict.CONFIRMED, False: Verdict.DIFFERS, None: Verdict.NOT_CHECKED}[observation.holds]
        return cls(observation.statement, host, result, observation.seen)

    @property
    def expected(self) -> str:
        """The value of the statement as text."""
        return _shown(self.statement.value)

    def json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "statement": self.statement.name,
            "host": self.host,
            "result": str(self.result),
            "expected": self.expected,
            "seen": self.seen,
            "text": self.statement.sentence,
            "source": self.statement.source,
            "confirmed_by": str(self.statement.confirmed_by),
        }


def _shown(value: Any) -> str:
    """A value as short text, without characters that would command a terminal."""
    text = "".join(one if one.isprintable() else "?" for one in shown(value))
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
