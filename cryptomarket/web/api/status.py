"""The state and the counters of this node: /api/v1/status, which the page /status shows."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from starlette.responses import Response

from ...market.latest import LatestValues
from ...stream.statistics import AGE_BOUNDS
from ..health import Health
from .dependencies import json_response
from .models import StatusResponse, UpstreamStatus
from .openapi import response

__all__ = ["status_router"]


def status_router(
    latest: LatestValues,
    health: Callable[[], Awaitable[Health]],
    statistics: Callable[[], Mapping[str, object]],
    wall: Callable[[], float],
) -> APIRouter:
    """The route of the status. ``statistics`` returns the counters of each part by its name."""
    router = APIRouter(prefix="/api/v1", tags=["operation"])
    responses = response("The status.", StatusResponse)

    @router.get("/status", summary="The state of this node", responses=responses, response_class=Response)
    async def status() -> Response:
        """The node's health, its connection to the exchange, and the counters of its parts since its start."""
        found, upstream = await health(), latest.upstream()
        return json_response(
            StatusResponse(
                int(wall() * 1000),
                found.status,
                found.checks,
                UpstreamStatus(upstream.state, upstream.since, upstream.reason, latest.ages()),
                AGE_BOUNDS,
                statistics(),
            )
        )

    return router
