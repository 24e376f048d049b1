"""The state of this node, and for operators its counters: /api/v1/status, which the page /status shows."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from ...market.latest import LatestValues
from ...stream.statistics import AGE_BOUNDS
from ..health import Health
from ..operators import Operators
from .dependencies import json_response
from .models import StatusResponse, UpstreamStatus
from .openapi import response

__all__ = ["status_router"]


def status_router(
    latest: LatestValues,
    health: Callable[[], Awaitable[Health]],
    statistics: Callable[[], Mapping[str, object]],
    operators: Operators,
    wall: Callable[[], float],
) -> APIRouter:
    """The route of the status. ``statistics`` returns the counters of each part by its name."""
    router = APIRouter(prefix="/api/v1", tags=["operation"])
    responses = response("The status.", StatusResponse)

    @router.get("/status", summary="The state of this node", responses=responses, response_class=Response)
    async def status(request: Request) -> Response:
        """The node's health and its connection to the exchange.

        Operators also receive the checks and the counters of the node's parts since its start.
        """
        found, upstream = await health(), latest.upstream()
        ages = latest.ages(latest.tickers)
        answer = StatusResponse(int(wall() * 1000), found.status, UpstreamStatus(upstream.state, upstream.since, ages))
        if operators.include(request):
            answer = replace(
                answer,
                upstream=replace(answer.upstream, reason=upstream.reason, ages=latest.ages(latest.followed)),
                checks=found.checks,
                age_bounds=AGE_BOUNDS,
                statistics=statistics(),
            )
        return json_response(answer)

    return router
