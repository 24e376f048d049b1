"""What this node is doing, as numbers: for the page /status, and for whoever asks /api/v1/status."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from ...market.latest import LatestValues
from ...stream.statistics import AGE_BOUNDS
from ..health import Health
from .dependencies import json_response
from .schemas import STATUS

__all__ = ["Watched", "status_router"]


@dataclass(frozen=True, slots=True)
class Watched:
    """What is looked at: ``statistics`` gives the counters of each part by its name, as dataclasses or mappings."""

    latest: LatestValues
    health: Callable[[], Awaitable[Health]]
    statistics: Callable[[], Mapping[str, object]]
    wall: Callable[[], float]


def status_router(watched: Watched) -> APIRouter:
    """The route of the status."""
    router = APIRouter(prefix="/api/v1", tags=["operation"])

    @router.get("/status", summary="What this node is doing", responses=STATUS, response_class=Response)
    async def status() -> Response:
        """Its health, the way to the exchange, and the counters of its parts; they count from its start."""
        health = await watched.health()
        upstream = watched.latest.upstream()
        found = {
            "time": int(watched.wall() * 1000),
            "status": health.status,
            "checks": {
                name: {"ok": check.ok, "needed": check.needed, "detail": check.detail}
                for name, check in health.checks.items()
            },
            "upstream": {
                "state": str(upstream.state),
                "since": upstream.since,
                "reason": upstream.reason,
                "ages": watched.latest.ages(),
            },
            "age_bounds": AGE_BOUNDS,
            "statistics": {name: _plain(part) for name, part in watched.statistics().items()},
        }
        return json_response(msgspec.json.encode(found, enc_hook=str).decode())

    return router


def _plain(part: object) -> Any:
    return asdict(part) if is_dataclass(part) and not isinstance(part, type) else part
