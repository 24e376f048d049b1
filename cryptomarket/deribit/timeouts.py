"""How long to wait for what. One value, so that tests can be quick without patching."""

from dataclasses import dataclass

__all__ = ["Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of one connection, in seconds."""

    connect: float = 10.0
    greeting: float = 10.0  # hello, login and heartbeat, each
    answer: float = 30.0  # Deribit advises about 30
    heartbeat: int = 30  # the exchange refuses less than 10 and advises 30 to 60
    silence: float = 5.0  # without any frame, before we ask whether somebody is there
    probe: float = 3.0  # for the answer to that: together under the promised 10
    rhythm: float = 3.0  # the shortest silence of a channel that can be too long
    first: float = 5.0  # for the first data of a confirmed channel
    starvation: float = 30.0  # without any price from an exchange that answers
    retry: float = 5.0  # before a subscribe that failed is sent again
    look: float = 0.25  # between two looks at all of these
    first_pause: float = 0.25  # the first limit of the pauses between attempts, which doubles
    longest_pause: float = 5.0  # and its cap: prices are back within 5 s of an exchange that is back
    answered: float = 10.0  # before the next attempt, when the last was refused: at most six a minute
    stopped: float = 300.0  # the same, when a person must act first
