"""Alive, and ready: what an orchestrator asks, with a sentence per dependency for the person behind it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Check", "Health", "health_routes"]


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one dependency works, in words; without one that is ``needed`` this node should get no traffic."""

    ok: bool
    words: str
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Health:
    """The checks of this node by name: database, upstream, freshness, ..."""

    checks: Mapping[str, Check]

    @property
    def status(self) -> str:
        """``ready``; ``degraded`` while it serves with something missing; ``unavailable`` when it should not serve."""
        if any(check.needed and not check.ok for check in self.checks.values()):
            return "unavailable"
        return "ready" if all(check.ok for check in self.checks.values()) else "degraded"

    def json(self) -> str:
        """The answer of /readyz."""
        checks = {name: {"ok": c.ok, "needed": c.needed, "detail": c.words} for name, c in self.checks.items()}
        degraded = [f"{name}: {c.words}" for name, c in self.checks.items() if not c.ok]
        return json.dumps({"status": self.status, "degraded": degraded, "checks": checks}, ensure_ascii=False)


def health_routes(health: Callable[[], Awaitable[Health]]) -> list[Route]:
    """/healthz: this process answers. /readyz: send it traffic (200) or not (503), and why."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers={"Cache-Control": "no-store"})

    async def ready(_: Request) -> Response:
        found = await health()
        status = 503 if found.status == "unavailable" else 200
        return Response(found.json(), status, {"Cache-Control": "no-store"}, media_type="application/json")

    return [Route("/healthz", alive), Route("/readyz", ready)]
