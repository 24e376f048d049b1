"""Every attack, by family."""

from ..attacker import Attack
from .costly_reads import COSTLY_READS
from .framing import FRAMING
from .inputs import INPUTS
from .logins import LOGINS
from .pipelines import PIPELINES
from .slow_clients import SLOW_CLIENTS
from .streams import STREAMS

__all__ = ["ATTACKS"]

ATTACKS: tuple[type[Attack], ...] = (
    *INPUTS,
    *PIPELINES,
    *SLOW_CLIENTS,
    *STREAMS,
    *COSTLY_READS,
    *LOGINS,
    *FRAMING,
)
