"""The routes /healthz and /readyz, and the values they show. What is checked is not known here."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Check", "Health", "health_routes"]


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one dependency works, with a sentence for operators.

    A node without a ``needed`` dependency should get no traffic; without another it serves in part.
    """

    ok: bool
    detail: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """The checks of this node by name: ``process``, ``database``, ``upstream``, ..."""

    checks: Mapping[str, Check]

    @property
    def status(self) -> str:
        """``unavailable`` when something needed fails, ``degraded`` when only something else fails, else ``ready``."""
        if any(check.needed and not check.ok for check in self.checks.values()):
            return "unavailable"
        return "ready" if all(check.ok for check in self.checks.values()) else "degraded"

    def json(self) -> str:
        """The body of /readyz."""
        checks = {name: {"ok": c.ok, "needed": c.needed, "detail": c.detail} for name, c in self.checks.items()}
        degraded = [f"{name}: {c.detail}" for name, c in self.checks.items() if not c.ok]
        return json.dumps({"status": self.status, "degraded": degraded, "checks": checks}, ensure_ascii=False)


def health_routes(health: Callable[[], Awaitable[Health]]) -> list[Route]:
    """/healthz answers 200 while the process runs; /readyz answers 200 if it should get traffic, else 503."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})

    async def ready(_: Request) -> Response:
        found = await health()
        status = 503 if found.status == "unavailable" else 200
        return Response(found.json(), status, {"Cache-Control": "no-store"}, media_type="application/json")

    return [Route("/healthz", alive), Route("/readyz", ready)]
