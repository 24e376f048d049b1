"""Everything `/metrics` says: the counters of the parts under their public names."""

from collections.abc import Mapping

from prometheus_client.core import Metric

from ..history.recorder import RecorderStatistics
from ..market.latest import LatestValues
from ..model import UpstreamState
from ..stream.statistics import AGE_BOUNDS, StreamStatistics
from .metrics import counter, gauge, histogram

__all__ = ["of_board", "of_cluster", "of_persons", "of_recorder", "of_streams", "of_upstream"]


def of_streams(found: StreamStatistics) -> list[Metric]:
    """The fan-out: who listens, what they got, who was too slow or too many."""
    timers = {f"{timer:g}": float(count) for timer, count in found.by_timer.items()}
    return [
        gauge("streams", "Open streams by their timer in seconds", timers, "timer"),
        gauge("stream_cohorts", "Groups of streams that get the same bytes at the same moment", found.cohorts),
        gauge("streams_blocked", "Open streams whose reader is behind", found.blocked_now),
        gauge("tickers_wanted", "Tickers followed because streams ask for them", found.tickers_wanted),
        counter("streams_joined", "Streams opened", found.joined),
        counter("streams_left", "Streams ended", found.left),
        counter("events_delivered", "Price events written to streams", found.delivered),
        counter("frames_encoded", "Deliveries put together, each for a whole cohort", found.frames),
        counter("events_conflated", "Ticks a stream did not get because a newer one replaced them", found.conflated),
        counter("readers_blocked", "Times that a reader fell behind", found.blocked),
        counter("streams_shed", "Streams turned away or closed by us", found.shed, "reason"),
        histogram(
            "event_age_seconds",
            "Age of a price event when written, since its arrival here",
            AGE_BOUNDS,
            found.age_counts,
            found.age_sum_seconds,
        ),
    ]


def of_board(latest: LatestValues) -> list[Metric]:
    """How far the prices can be believed."""
    shown = latest.upstream().state
    states = {str(state): float(state is shown) for state in UpstreamState}
    ages = {ticker: age / 1000 for ticker, age in latest.ages().items()}
    return [
        gauge("upstream_state", "1 for the state that browsers are told", states, "state"),
        gauge("ticker_age_seconds", "Seconds since the last tick of a ticker arrived", ages, "ticker"),
        gauge("epoch", "The leader's number as seen here", latest.epoch),
    ]


def of_cluster(leads: bool, bus: Mapping[str, object] | None) -> list[Metric]:
    """This node among the others, whose bus says this; a single process has none, and leads."""
    nodes = bus["nodes"] if bus else [""]
    return [
        gauge("leads", "1 while this node leads: exactly one of a cluster should", float(leads)),
        gauge("nodes", "Nodes that are there, as far as this one knows", len(nodes) if isinstance(nodes, list) else 0),
        gauge(
            "bus_connected",
            "1 while Redis takes what this node says, or none is needed",
            float(not bus or bool(bus["connected"])),
        ),
    ]


def of_recorder(found: RecorderStatistics) -> list[Metric]:
    """What is stored, and what waits for the database."""
    return [
        gauge("slots_queued", "Slots that wait to be written", found.queued),
        counter("slots_written", "Slots written", found.written),
        counter("slots_dropped", "Slots given up because the database was away too long", found.dropped),
        gauge("database_down", "1 while the database does not take writes", float(found.database_down)),
    ]


def of_upstream(found: Mapping[str, object]) -> list[Metric]:
    """The one connection to the exchange."""
    return [
        counter("upstream_connections", "Connections to the exchange opened", _number(found["connections"])),
        gauge("upstream_tickers_wanted", "Tickers that should be subscribed", _number(found["wanted"])),
        gauge("upstream_channels_confirmed", "Channels the exchange confirmed", _number(found["confirmed"])),
        gauge("upstream_calls_waiting", "Calls that wait for credits or an answer", _number(found["waiting_calls"])),
        gauge("upstream_login_degraded", "1 while the application's key is refused", float(bool(found["degraded"]))),
    ]


def of_persons(found: Mapping[str, int]) -> list[Metric]:
    """Log-ins, and who is here."""
    return [
        gauge("persons", "Persons whose tokens are kept fresh by this node", found["persons"]),
        gauge("person_sessions", "Browser sessions with a stream here that are logged in", found["sessions"]),
        counter("logins", "Log-ins that ended well", found["logged_in"]),
        counter("logins_failed", "Log-ins that came to nothing", found["failed"]),
        counter("tokens_refreshed", "Tokens of persons renewed", found["refreshed"]),
        counter("logins_ended", "Logins that the exchange ended", found["ended"]),
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
