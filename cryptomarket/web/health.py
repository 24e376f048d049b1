"""The routes /healthz and /readyz, and the values they show. What is checked is not known here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Check", "Health", "HealthStatus", "ReadinessResponse", "health_routes"]

HealthStatus = Literal["ready", "degraded", "unavailable"]


class Check(msgspec.Struct, frozen=True):
    """Whether one dependency works, with a sentence for operators.

    A node without a ``needed`` dependency should get no traffic; without another it serves in part. ``cause`` may name
    addresses and accounts, so it is for operators alone.
    """

    ok: bool
    detail: str
    needed: bool = True
    cause: str | UnsetType = UNSET


class ReadinessResponse(msgspec.Struct, frozen=True):
    """Whether this node should get traffic, and why not."""

    status: HealthStatus
    degraded: Sequence[str]
    checks: Mapping[str, Check]


class Health(msgspec.Struct, frozen=True):
    """The checks of this node by name: ``process``, ``database``, ``upstream``, ..."""

    checks: Mapping[str, Check]

    @property
    def status(self) -> HealthStatus:
        """``unavailable`` when something needed fails, ``degraded`` when only something else fails, else ``ready``."""
        if any(check.needed and not check.ok for check in self.checks.values()):
            return "unavailable"
        return "ready" if all(check.ok for check in self.checks.values()) else "degraded"

    def readiness(self) -> ReadinessResponse:
        """The body of /readyz: ``degraded`` names each check that fails."""
        degraded = [f"{name}: {check.detail}" for name, check in self.checks.items() if not check.ok]
        public = {name: replace(check, cause=UNSET) for name, check in self.checks.items()}
        return ReadinessResponse(self.status, degraded, public)


def health_routes(health: Callable[[], Awaitable[Health]]) -> list[Route]:
    """/healthz answers 200 while the process runs; /readyz answers 200 if it should get traffic, else 503."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})

    async def ready(_: Request) -> Response:
        readiness = (await health()).readiness()
        status = 503 if readiness.status == "unavailable" else 200
        body = msgspec.json.encode(readiness)
        return Response(body, status, {"Cache-Control": "no-store"}, media_type="application/json")

    return [Route("/healthz", alive), Route("/readyz", ready)]
