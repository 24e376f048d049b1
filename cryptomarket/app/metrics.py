"""Everything that /metrics serves: the statistics of each part under their public names, and how they are written.

The parts count for themselves and return frozen statistics; here they become Prometheus' families. Names, types and
labels are public: docs/metrics.md lists them, and a test compares.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ..cluster.cluster import ClusterStatistics
from ..deribit.client import DeribitClientStatistics
from ..history.recorder import RecorderStatistics
from ..market.latest import LatestValues
from ..model import UpstreamState
from ..persons.leader_worker import PersonStatistics
from ..persons.notifications import NotifierStatistics
from ..stream.statistics import AGE_BOUNDS, StreamStatistics

__all__ = [
    "CONTENT_TYPE",
    "LoopLag",
    "LoopLagStatistics",
    "counter",
    "exposition",
    "gauge",
    "histogram",
    "of_cluster",
    "of_latest_values",
    "of_loop_lag",
    "of_persons",
    "of_recorder",
    "of_refusals",
    "of_streams",
    "of_upstream",
    "of_workers",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "cryptomarket_"


def gauge(name: str, help_text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """The family of a number that rises and falls; a mapping holds the number for each value of the label."""
    family = GaugeMetricFamily(PREFIX + name, help_text, labels=[label] if label else [])
    return _filled(family, value)


def counter(name: str, help_text: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """The family of a number that only grows; Prometheus appends `_total` to its name."""
    family = CounterMetricFamily(PREFIX + name, help_text, labels=[label] if label else [])
    return _filled(family, value)


def histogram(name: str, help_text: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """The family of a distribution; ``counts`` has one more entry than ``bounds``, for values above all of them."""
    family = HistogramMetricFamily(PREFIX + name, help_text)
    buckets, below = [], 0
    for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    family.add_metric([], buckets, total)
    return family


def _filled(family: GaugeMetricFamily | CounterMetricFamily, value: float | Mapping[str, float]) -> Metric:
    for key, number in value.items() if isinstance(value, Mapping) else [("", value)]:
        family.add_metric([key] if key else [], number)
    return family


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def exposition(families: Iterable[Metric]) -> bytes:
    """The families in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(list(families)))
    return generate_latest(registry)


def of_workers(texts: Mapping[str, bytes]) -> list[Metric]:
    """The expositions of several workers, by node, as one; the label ``node`` tells their samples apart."""
    families: dict[str, Metric] = {}
    for node, text in sorted(texts.items()):
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                whole.add_sample(sample.name, {**sample.labels, "node": node}, sample.value)
    return list(families.values())


@dataclass(frozen=True, slots=True)
class LoopLagStatistics:
    """How often the event loop was late by at most each of `LoopLag.BOUNDS`, and by more; and by how much in all."""

    counts: tuple[int, ...]
    total_seconds: float


class LoopLag:
    """Measures how late the event loop resumes a sleeper. Every browser waits that long beside everything else."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    INTERVAL_SECONDS = 0.25

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counts = [0] * (len(self.BOUNDS) + 1)
        self._total_seconds = 0.0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Measure until cancelled."""
        task_status.started()
        while True:
            due = self._monotonic() + self.INTERVAL_SECONDS
            await anyio.sleep(self.INTERVAL_SECONDS)
            self.add(max(0.0, self._monotonic() - due))

    def add(self, seconds: float) -> None:
        """Count one wake-up that was this late."""
        self._counts[bisect_left(self.BOUNDS, seconds)] += 1
        self._total_seconds += seconds

    def statistics(self) -> LoopLagStatistics:
        """Every wake-up measured so far."""
        return LoopLagStatistics(tuple(self._counts), self._total_seconds)


def of_streams(found: StreamStatistics) -> list[Metric]:
    """The streams: how many are open, what was written to them, which were slow or turned away."""
    timers = {f"{timer:g}": float(count) for timer, count in found.by_timer.items()}
    return [
        gauge("streams", "Open streams by their timer in seconds", timers, "timer"),
        gauge("stream_cohorts", "Groups of streams that receive the same bytes at the same moment", found.cohorts),
        gauge("streams_blocked", "Open streams whose reader is blocked", found.blocked_now),
        gauge("tickers_wanted", "Tickers followed because streams ask for them", found.tickers_wanted),
        gauge("event_log_bytes", "Memory of the recent ticks from which streams resume", found.event_log_bytes),
        gauge("event_log_limit_bytes", "The most memory that these ticks may take", found.event_log_limit_bytes),
        counter("streams_joined", "Streams opened", found.joined),
        counter("streams_left", "Streams ended", found.left),
        counter("events_delivered", "Price events written to streams", found.delivered),
        counter("frames_encoded", "Frames built, each for a whole cohort", found.frames),
        counter("events_conflated", "Ticks not written to a stream because a newer one replaced them", found.conflated),
        counter("readers_blocked", "Times that a reader became blocked", found.blocked),
        counter("streams_shed", "Streams turned away or closed by the gateway", found.shed, "reason"),
        histogram(
            "event_age_seconds",
            "Age of a price event when written, since its arrival at this node",
            AGE_BOUNDS,
            found.age_counts,
            found.age_sum_seconds,
        ),
    ]


def of_loop_lag(found: LoopLagStatistics) -> list[Metric]:
    """How busy the process is."""
    help_text = "How late the event loop resumes a sleeping task, in seconds"
    return [histogram("loop_lag_seconds", help_text, LoopLag.BOUNDS, found.counts, found.total_seconds)]


def of_refusals(counts: Mapping[str, int]) -> list[Metric]:
    """The requests that were refused."""
    return [counter("refusals", "Requests and connections refused", dict(counts), "reason")]


def of_latest_values(latest: LatestValues) -> list[Metric]:
    """Whether prices are current."""
    shown = latest.upstream().state
    states = {str(state): float(state is shown) for state in UpstreamState}
    ages = {ticker: age / 1000 for ticker, age in latest.ages(latest.tickers).items()}
    return [
        gauge("upstream_state", "1 for the state of upstream that browsers receive", states, "state"),
        gauge("ticker_age_seconds", "Seconds since the last tick of a configured ticker arrived", ages, "ticker"),
        gauge("epoch", "The epoch of the newest tick at this node", latest.epoch),
    ]


def of_cluster(found: ClusterStatistics) -> list[Metric]:
    """This node among the others; a single process leads and is connected."""
    return [
        gauge("leads", "1 while this node is the leader; exactly one node of a cluster should be", float(found.leads)),
        gauge("nodes", "Nodes of the cluster that are alive, as far as this node knows", len(found.nodes)),
        gauge(
            "bus_connected",
            "1 while Redis takes the messages of this node, or is not used",
            float(found.connected),
        ),
        counter(
            "cluster_messages_refused",
            "Messages and stored values of other nodes that this node did not accept",
            {reason: float(count) for reason, count in found.refused_by_reason.items()},
            "reason",
        ),
    ]


def of_recorder(found: RecorderStatistics) -> list[Metric]:
    """What was stored, and what waits for the database."""
    return [
        gauge("slots_queued", "Slots that wait to be written", found.queued),
        counter("slots_written", "Slots written", found.written),
        counter("slots_dropped", "Slots dropped because the database was unavailable for too long", found.dropped),
        gauge("database_down", "1 while the database does not take writes", float(found.database_down)),
    ]


def of_upstream(found: DeribitClientStatistics) -> list[Metric]:
    """The one connection to the exchange."""
    return [
        counter("upstream_connections", "Connections to the exchange opened", found.connections),
        gauge("upstream_tickers_wanted", "Tickers that should be subscribed", found.wanted),
        gauge("upstream_channels_confirmed", "Channels the exchange confirmed", found.confirmed),
        gauge("upstream_calls_waiting", "Calls that wait for credits or an answer", found.waiting_calls),
        gauge(
            "upstream_clock_behind_seconds",
            "How far the clock of this machine is behind the exchange's; below zero when it is ahead",
            found.clock_behind_seconds,
        ),
        gauge("upstream_all_changes", "1 while every change of an instrument arrives", float(found.all_changes)),
        counter("upstream_logins_lost", "Logins of the application's key that the exchange ended", found.login.losses),
        gauge("upstream_login_degraded", "1 while the application's key is refused", float(found.degraded)),
    ]


def of_persons(found: PersonStatistics, notifier: NotifierStatistics) -> list[Metric]:
    """Log-ins, tokens and browser sessions."""
    return [
        gauge("persons", "Persons whose tokens this node refreshes", found.persons),
        gauge("person_sessions", "Browser sessions with a stream here that are logged in", notifier.sessions),
        gauge("logins_waiting", "Logins that wait for their turn at the exchange", found.waiting),
        counter("logins", "Logins that succeeded", found.logged_in),
        counter("logins_failed", "Logins that failed", found.failed),
        counter("tokens_refreshed", "Tokens of persons refreshed", found.refreshed),
        counter("token_renewals_failed", "Renewals of persons' tokens that failed", found.renewals_failed),
        counter("token_renewals_wide", "Renewals of persons' tokens that granted too much", found.renewals_wide),
        counter("logins_ended", "Logins that the exchange ended", found.ended),
    ]
