"""How much of everything an attack has, and what was measured during it."""

from dataclasses import dataclass, field
from typing import Any

from .honest_logins import LoginReport
from .honest_requests import Requests
from .honest_streams import StreamReport

__all__ = ["Plan", "Result"]


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    ``rate`` multiplies the rate of every attack, 1 being 400 attempts a second; ``chosen`` names some of them. ``rows``
    is the length of the history in minutes. The bound of honest REST is at least ``least_seconds``, that of `/healthz`
    is ``health_seconds``.
    """

    quiet_seconds: float = 30.0
    attack_seconds: float = 180.0
    streams: int = 500
    readers: int = 20
    addresses: int = 250
    rate: float = 0.25
    rows: int = 300_000
    least_seconds: float = 0.0
    health_seconds: float = 0.1
    chosen: tuple[str, ...] = ()


@dataclass
class Result:
    """What was measured: requests in quiet and during the attack, and the gateway's process."""

    streams: StreamReport = field(default_factory=StreamReport)
    logins: LoginReport = field(default_factory=LoginReport)
    quiet: dict[str, Requests] = field(default_factory=dict)
    attacked: dict[str, Requests] = field(default_factory=dict)
    attackers: dict[str, Any] = field(default_factory=dict)
    quiet_memory: int = 0
    memory: int = 0
    #: The most that the process and the kernel's buffers of its connections had together, in samples.
    with_buffers: int = 0
    #: The share of a core that the gateway used during the attack.
    cpu_share: float = 0.0
    log_bytes: int = 0
    #: Lines of the log that tell of an error.
    errors: list[str] = field(default_factory=list)
    #: Open files before, during and after the attack.
    files: tuple[int, int, int] = (0, 0, 0)
    #: How the process ended too early; empty when it did not.
    ended: str = ""
    #: By how many seconds the measuring process woke up too late.
    lateness: list[float] = field(default_factory=list)
