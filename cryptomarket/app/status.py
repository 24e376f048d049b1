"""What a node reports about itself: /readyz, /status and /metrics."""

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client.core import Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..history.daily_jobs import DailyJobs
from ..market.catalogue import Catalogue
from ..market.latest import LatestValues
from ..persons.notifications import Notifier
from ..refusals import Refusals
from ..stream.manager import ServerSSEManager
from ..web.health import Check, Health
from ..web.operators import Operators
from . import metrics
from .backend import Backend
from .health import database_check, tickers_check, upstream_check
from .leader import Leadership

__all__ = ["NodeStatus"]


class NodeStatus:
    """Reads the statistics and the health of each part of one node."""

    def __init__(
        self,
        *,
        backend: Backend,
        leadership: Leadership,
        ping_database: Callable[[], Awaitable[None]],
        latest: LatestValues,
        manager: ServerSSEManager,
        catalogue: Catalogue,
        daily_jobs: DailyJobs,
        notifier: Notifier,
        loop_lag: metrics.LoopLag,
        refusals: Refusals,
        operators: Operators,
    ) -> None:
        self._backend, self._leadership = backend, leadership
        self._ping_database, self._latest, self._manager = ping_database, latest, manager
        self._catalogue, self._daily_jobs = catalogue, daily_jobs
        self._notifier = notifier
        self._loop_lag = loop_lag
        self._refusals = refusals
        self._operators = operators
        #: Set at the beginning of a stop: the node is not ready any more.
        self.stopping = False
        self.routes = [Route("/metrics", self._metrics)]

    async def health(self) -> Health:
        """The checks of everything that this node depends on."""
        return Health(
            {
                "process": Check(not self.stopping, "stopping" if self.stopping else "serving"),
                "database": await database_check(self._ping_database),
                "upstream": upstream_check(self._latest, self._catalogue),
                "tickers": tickers_check(self._catalogue),
                **self._leadership.role.checks(),
                **await self._backend.checks(),
            }
        )

    def statistics(self) -> Mapping[str, object]:
        """The statistics of each part of this node, by its name in /status."""
        return {
            "streams": self._manager.statistics(),
            # The database's jobs run once for all nodes; each node has its own catalogue.
            "maintenance": {**self._daily_jobs.statistics(), "catalogue": self._catalogue.statistics()},
            "persons": self._notifier.statistics(),
            **self._backend.statistics(),
            **self._leadership.role.statistics(),
        }

    def families(self) -> list[Metric]:
        """The metrics of this node."""
        return [
            *metrics.of_streams(self._manager.statistics()),
            *metrics.of_latest_values(self._latest),
            *metrics.of_loop_lag(self._loop_lag.statistics()),
            *metrics.of_refusals(self._refusals.counts()),
            *metrics.of_cluster(self._backend.cluster.statistics()),
            *self._leadership.role.families(),
        ]

    def exposition(self) -> bytes:
        """The metrics of this node as Prometheus reads them."""
        return metrics.exposition(self.families())

    async def _metrics(self, request: Request) -> Response:
        self._operators.check(request)
        text = await self._backend.metrics.collect(self.exposition())
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE, "Cache-Control": "no-store"})
