"""What the words of an instrument's state mean: those of 2022, and those that replaced them on 13 January 2026.

Both may occur. Source: https://docs.deribit.com, channel `instrument.state`, and the changelog of 13 January 2026.
"""

from enum import Enum

__all__ = ["StateMeaning", "meaning_of"]


class StateMeaning(Enum):
    """What a state means for prices."""

    LISTED = "listed"
    #: Listed, but prices may not be sent: during settlement, or while trading is halted.
    RESTING = "resting"
    #: No price will be sent any more.
    ENDED = "ended"


_LISTED = ("created", "started", "open")
_ENDED = ("closed", "deactivated", "terminated", "delivered", "archivized")
_MEANINGS = {
    "": StateMeaning.LISTED,  # an index has no state
    **dict.fromkeys(_LISTED, StateMeaning.LISTED),
    **dict.fromkeys(_ENDED, StateMeaning.ENDED),
}


def meaning_of(state: str) -> StateMeaning:
    """The meaning of a state. The words are open-ended: any other (`settled`, `halted`, a new one) means a rest."""
    return _MEANINGS.get(state, StateMeaning.RESTING)
