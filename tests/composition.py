"""The compose file as data; a key that these models do not know is an error.

They know only what docker-compose 1.29 knows too.
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FILE", "Composition", "Service", "composition", "environment", "megabytes"]

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"

_SIZE = r"^[1-9]\d*[kmg]$"
_SPAN = r"^[1-9]\d*s$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Build(_Strict):
    """How an image is built."""

    context: str
    args: dict[str, str] = {}


class Condition(_Strict):
    """The state that another service must have reached."""

    condition: Literal["service_healthy", "service_completed_successfully"]


class HealthCheck(_Strict):
    """A command inside the container."""

    disable: bool = False
    test: list[str] = []
    interval: str = Field("30s", pattern=_SPAN)
    timeout: str = Field("30s", pattern=_SPAN)
    start_period: str = Field("0s", pattern=r"^\d+s$")
    retries: int = 3


class Logging(_Strict):
    """The log driver and its limits."""

    driver: str
    options: dict[str, str]


class Attachment(_Strict):
    """How a service is attached to a network."""

    ipv4_address: str | None = None


class Service(_Strict):
    """One service."""

    image: str
    build: str | Build | None = None
    profiles: list[str] = []
    user: str
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    environment: dict[str, str | None] = {}
    ports: list[str] = []
    group_add: list[str] = []
    networks: list[str] | dict[str, Attachment] = []
    network_mode: Literal["none"] | None = None
    volumes: list[str] = []
    tmpfs: list[str]
    shm_size: str = Field("64m", pattern=_SIZE)
    mem_limit: str = Field(pattern=_SIZE)
    pids_limit: int
    ulimits: dict[Literal["core", "nofile"], int] = {}
    stop_grace_period: str = Field("10s", pattern=_SPAN)
    depends_on: dict[str, Condition] = {}
    healthcheck: HealthCheck | None = None
    restart: Literal["unless-stopped", "no"]
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    logging: Logging


class Addresses(_Strict):
    """A range of addresses; those that Docker hands out itself are from ``ip_range``."""

    subnet: str
    ip_range: str | None = None
    gateway: str | None = None


class AddressManagement(_Strict):
    """The addresses of a network."""

    config: list[Addresses]


class Network(_Strict):
    """A network of the file."""

    internal: bool = False
    ipam: AddressManagement | None = None


class Composition(_Strict):
    """The whole file without the keys that begin with `x-`, whose anchors YAML resolves."""

    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, _Strict]

    def together(self, profile: str | None = None) -> dict[str, Service]:
        """Return the services that keep running with a profile: `minimal` alone, others beside the default ones."""
        running = {name: service for name, service in self.services.items() if service.restart != "no"}
        if profile == "minimal":
            return {"minimal": running["minimal"]}
        return {name: s for name, s in running.items() if not s.profiles or profile in s.profiles}


@functools.cache
def composition() -> Composition:
    """Read the compose file of this project."""
    whole = yaml.safe_load(FILE.read_text())
    return Composition.model_validate({key: value for key, value in whole.items() if not key.startswith("x-")})


def environment(service: str, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a service as compose makes it with the chosen variables in `.env`.

    `${NAME:-default}` is replaced. A variable without a value is taken from the chosen ones, or left out.
    """
    wanted = chosen or {}
    declared = composition().services[service].environment
    return {
        name: wanted[name] if value is None else filled(value, wanted)
        for name, value in declared.items()
        if value is not None or name in wanted
    }


def filled(value: Any, chosen: Mapping[str, str]) -> str:
    """Return the text with its variables replaced."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: chosen.get(match[1]) or match[2], str(value))


def megabytes(size: str) -> float:
    """Return a size in megabytes: 256 for `256m`."""
    return int(size[:-1]) * {"k": 1 / 1024, "m": 1, "g": 1024}[size[-1]]
