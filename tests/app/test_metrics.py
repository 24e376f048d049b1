"""The metrics, parsed by Prometheus' own client and compared with docs/metrics.md."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from cryptomarket.app.gateway import Gateway
from cryptomarket.app.metrics import LoopLag, counter, exposition, gauge, histogram, of_loop_lag
from cryptomarket.simulator.exchange import running_exchange
from tests.processes import eventually, running_program
from tests.reader import reading

from .test_gateway import settings_for


def parsed(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_histogram_counts_everything_below_each_bound() -> None:
    """Buckets are cumulative, and the last one counts everything."""
    found = parsed(exposition([histogram("x_seconds", "x", (0.1, 1.0), (3, 2, 1), 4.5)]))
    assert found["cryptomarket_x_seconds_bucket", ("0.1",)] == 3
    assert found["cryptomarket_x_seconds_bucket", ("1.0",)] == 5
    assert found["cryptomarket_x_seconds_bucket", ("+Inf",)] == 6
    assert found["cryptomarket_x_seconds_sum", ()] == 4.5


def test_labels_cannot_break_a_line() -> None:
    """Any label value is read back unchanged."""
    found = parsed(exposition([gauge("x", "x", {'a"\n\\b': 2.0}, "ticker"), counter("y", "y", 3)]))
    assert found["cryptomarket_x", ('a"\n\\b',)] == 2
    assert found["cryptomarket_y_total", ()] == 3


def test_lag_is_counted_in_its_bucket() -> None:
    """A wake-up 20 ms late counts in the bucket of 25 ms."""
    lag = LoopLag()
    lag.add(0.02)
    found = parsed(exposition(of_loop_lag(lag.statistics())))
    assert found["cryptomarket_loop_lag_seconds_bucket", ("0.01",)] == 0
    assert found["cryptomarket_loop_lag_seconds_bucket", ("0.025",)] == 1


async def test_a_gateway_serves_its_measurements(tmp_path: Path) -> None:
    """While a stream is open, streams, deliveries, ages, upstream and loop lag are measured."""
    async with running_program(tmp_path, "demo") as program:
        url = await program.url()
        async with reading(f"{url}/sse/?timer=0") as reader:
            for _ in range(4):
                await reader.next("btc_usd")
            answer = await reader.client.get(f"{url}/metrics")
            forwarded = {"X-Forwarded-For": "203.0.113.9"}
            assert (await reader.client.get(f"{url}/metrics", headers=forwarded)).status_code == 403
            refused = parsed((await reader.client.get(f"{url}/metrics")).content)
            assert refused["cryptomarket_refusals_total", ("operators",)] == 1
        found = parsed(answer.content)
        assert found["cryptomarket_streams", ("0",)] == 1
        assert found["cryptomarket_events_delivered_total", ()] >= 4
        assert found["cryptomarket_event_age_seconds_count", ()] >= 4
        assert found["cryptomarket_upstream_state", ("live",)] == 1
        assert found["cryptomarket_upstream_connections_total", ()] == 1
        assert found["cryptomarket_ticker_age_seconds", ("btc_usd",)] < 60
        assert found["cryptomarket_loop_lag_seconds_count", ()] >= 1


async def test_every_metric_is_documented(tmp_path: Path) -> None:
    """docs/metrics.md has exactly the served metrics, and names end in their units."""
    document = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    listed = set(re.findall(r"^\| `(cryptomarket_[a-z_]+)` \| (\w+) \| (.+?) \|$", document, re.MULTILINE))
    async with running_exchange() as exchange:
        gateway = Gateway(settings_for(tmp_path, exchange))
        async with gateway.running():
            await eventually(lambda: gateway.latest.tick("btc_usd"), "a tick arrives")
            families = list(text_string_to_metric_families(gateway.status.exposition().decode()))
    served = {
        (f"{family.name}{'_total' if family.type == 'counter' else ''}", family.type, family.documentation)
        for family in families
    }
    assert listed == served
    assert set(re.findall(r"`(cryptomarket_[a-z_]+)`", document)) == {name for name, _, _ in served}
    assert all(name.endswith("_seconds") for name, kind, _ in served if kind == "histogram" or name.endswith("_age"))
