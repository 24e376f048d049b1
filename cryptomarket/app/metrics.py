"""Numbers for Prometheus: how they are written down, and how late the event loop is. It knows nobody's counters."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import anyio
from anyio.abc import TaskStatus
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "LoopLag", "counter", "exposition", "gauge", "histogram", "of_workers"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "cryptomarket_"


def gauge(name: str, says: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """A number that goes up and down; a mapping gives one for each value of the label."""
    family = GaugeMetricFamily(PREFIX + name, says, labels=[label] if label else [])
    return _filled(family, value)


def counter(name: str, says: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    """A number that only grows; its name ends in `_total` when it is read."""
    family = CounterMetricFamily(PREFIX + name, says, labels=[label] if label else [])
    return _filled(family, value)


def histogram(name: str, says: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """How often a value was at most each bound; ``counts`` has one more than bounds, for what was above all."""
    family = HistogramMetricFamily(PREFIX + name, says)
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


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def exposition(families: Iterable[Metric]) -> bytes:
    """The families in Prometheus' text form."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(list(families)))
    return generate_latest(registry)


def of_workers(texts: Mapping[str, bytes]) -> list[Metric]:
    """The expositions of several workers as one, each sample labelled with its worker."""
    families: dict[str, Metric] = {}
    for node, text in sorted(texts.items()):
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                whole.add_sample(sample.name, {**sample.labels, "node": node}, sample.value)
    return list(families.values())


class LoopLag:
    """How late the event loop wakes somebody who asked for a moment: what a browser waits beside everything else."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
    INTERVAL_SECONDS = 0.25

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total_seconds = 0.0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Measure until cancelled."""
        task_status.started()
        while True:
            asked = self._monotonic() + self.INTERVAL_SECONDS
            await anyio.sleep(self.INTERVAL_SECONDS)
            self.took(max(0.0, self._monotonic() - asked))

    def took(self, seconds: float) -> None:
        """One wake-up was so late."""
        self.counts[bisect_left(self.BOUNDS, seconds)] += 1
        self.total_seconds += seconds

    def family(self) -> Metric:
        """The histogram."""
        says = "How late the event loop wakes a sleeper, in seconds"
        return histogram("loop_lag_seconds", says, self.BOUNDS, self.counts, self.total_seconds)
