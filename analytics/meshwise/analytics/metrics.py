"""What this process tells Prometheus about itself; read from the cycle when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meshwise.analytics.alerts.courier import Courier
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.judging import Judge


class CycleCollector(Collector):
    """Reads the counters that the parts keep anyway."""

    def __init__(self, cycle: Cycle, judge: Judge, outbox: Outbox, courier: Courier) -> None:
        self._cycle = cycle
        self._judge = judge
        self._outbox = outbox
        self._courier = courier

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        cycle, judge, board = self._cycle, self._judge, self._cycle.board
        stages = GaugeMetricFamily(
            "meshwise_analytics_stage_seconds", "Length of each stage of the last cycle.", labels=["stage"]
        )
        for stage, seconds in board.stages_s.items():
            stages.add_metric([stage], seconds)
        yield stages
        yield GaugeMetricFamily(
            "meshwise_analytics_cycle_seconds", "Length of the last cycle.", sum(board.stages_s.values())
        )
        finished = board.finished_at.timestamp() if board.finished_at else 0.0
        yield GaugeMetricFamily(
            "meshwise_analytics_cycle_finished_timestamp_seconds", "As of the last cycle.", finished
        )
        leads = cycle.lease is None or cycle.lease.leads
        yield GaugeMetricFamily("meshwise_analytics_leader", "1 where alerts and proposals are made.", float(leads))
        yield CounterMetricFamily("meshwise_analytics_cycles", "Cycles run.", cycle.runs)
        failures = CounterMetricFamily("meshwise_analytics_stage_failures", "Stages that failed.", labels=["stage"])
        for stage, count in {**cycle.failures, "rollout": judge.failures}.items():
            failures.add_metric([stage], count)
        yield failures
        yield CounterMetricFamily(
            "meshwise_analytics_rows_written", "Findings persisted.", cycle.rows_written + judge.rows_written
        )
        lost = cycle.rows_dropped + judge.rows_dropped
        yield CounterMetricFamily("meshwise_analytics_rows_dropped", "Events lost: store away.", lost)
        yield CounterMetricFamily("meshwise_analytics_looks", "Looks at rollouts.", judge.looks)
        alerts = GaugeMetricFamily("meshwise_analytics_alerts", "Open alerts.", labels=["state"])
        for state in ("pending", "firing"):
            alerts.add_metric([state], sum(alert.state == state for alert in board.alerts.values()))
        yield alerts
        tries = CounterMetricFamily("meshwise_analytics_webhook_tries", "Deliveries tried.", labels=["outcome"])
        for outcome, count in self._courier.tries.items():
            tries.add_metric([outcome], count)
        yield tries
        yield GaugeMetricFamily("meshwise_analytics_webhook_waiting", "Documents waiting.", self._outbox.count())
        yield CounterMetricFamily("meshwise_analytics_webhook_dropped", "Documents dropped.", self._outbox.dropped)


def registry_for(cycle: Cycle, judge: Judge, outbox: Outbox, courier: Courier) -> CollectorRegistry:
    """Return a registry of this process's own."""
    registry = CollectorRegistry()
    registry.register(CycleCollector(cycle, judge, outbox, courier))
    return registry
