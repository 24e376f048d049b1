"""What the words of an instrument's state mean: those of 2022, and those that replaced them on 13 January 2026.

Both may occur. Source: https://docs.deribit.com, channel `instrument.state`, and the changelog of 13 January 2026.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["STATES_OF_2022", "STATES_OF_2026", "StateMeaning", "meaning_of"]


class StateMeaning(Enum):
    """What a state means for prices."""

    LISTED = "listed"
    #: Listed, but prices may not be sent: during settlement, or while trading is halted.
    RESTING = "resting"
    #: No price will be sent any more.
    ENDED = "ended"


STATES_OF_2022: Mapping[str, StateMeaning] = MappingProxyType(
    {
        "created": StateMeaning.LISTED,
        "started": StateMeaning.LISTED,
        "settled": StateMeaning.RESTING,
        "closed": StateMeaning.ENDED,
        "deactivated": StateMeaning.ENDED,
        "terminated": StateMeaning.ENDED,
    }
)
STATES_OF_2026: Mapping[str, StateMeaning] = MappingProxyType(
    {
        "open": StateMeaning.LISTED,
        "settlement": StateMeaning.RESTING,
        "inactive": StateMeaning.RESTING,
        "locked": StateMeaning.RESTING,
        "halted": StateMeaning.RESTING,
        "delivered": StateMeaning.ENDED,
        "archivized": StateMeaning.ENDED,
    }
)
_MEANINGS = {"": StateMeaning.LISTED, **STATES_OF_2022, **STATES_OF_2026}  # an index has no state


def meaning_of(state: str, *, priced: bool = False) -> StateMeaning:
    """The meaning of a state; ``priced``: it came with a price.

    The words are open-ended. One that is in neither table means a rest, but not if it came with a price.
    """
    return _MEANINGS.get(state, StateMeaning.LISTED if priced else StateMeaning.RESTING)
