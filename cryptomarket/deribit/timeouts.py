"""Every limit in time of one connection, in one value, so that tests can shorten them without patching."""

from dataclasses import dataclass

__all__ = ["Timeouts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Limits of one connection, in seconds."""

    connect: float = 10.0
    greeting: float = 10.0  # for the answer to hello, login and heartbeat, each
    answer: float = 30.0  # for every other answer; Deribit advises about 30
    silence: float = 5.0  # without any frame, before a probe is sent
    probe: float = 3.0  # for the answer to a probe: with `silence` under the promised 10
    rhythm: float = 3.0  # the shortest silence of a channel that can count as too long
    first: float = 5.0  # for the first data of a confirmed channel
    unlearned: float = 30.0  # for the second data of an instrument, which is sent only when something changes
    settle: float = 1.0  # for data on its way, after the exchange told that there is some
    starvation: float = 30.0  # without any price from an exchange that answers
    retry: float = 5.0  # before a failed subscribe is sent again
    check: float = 0.25  # between two checks of all of these
    first_pause: float = 0.25  # the first limit of the pauses between attempts, which doubles
    longest_pause: float = 5.0  # and its cap: prices are back within 5 s of an exchange that is back
    refused: float = 10.0  # the shortest pause after a refused attempt: at most six a minute
    stopped: float = 300.0  # the shortest pause when the operator must act first
