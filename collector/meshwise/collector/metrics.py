"""Counters of one collector process, in a registry of its own; written so that the ledger adds up per signal.

received = accepted + rejected items
accepted = inserted + sampled out + quarantined + lost + what the spool still holds
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from meshwise.collector.signals import Signal

INSERT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""


class CollectorMetrics:
    """Every metric by name; labels are few and never come from a sender: tenants are those of the settings."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"meshwise_collector_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"meshwise_collector_{name}", text, labels, registry=self.registry)

        self.requests = counter("requests", "Requests answered with success.", "signal", "transport")
        self.refused = counter("refused_requests", "Requests refused, by reason.", "signal", "reason")
        self.accepted = counter("accepted_items", "Items acknowledged: they are on disk.", "signal")
        self.rejected = counter("rejected_items", "Items reported back in partial_success.", "signal")
        self.skewed = counter("skewed_items", "Items of a time that cannot be, stored as of when they came.", "signal")
        self.tenant_accepted = counter("tenant_accepted_items", "Accepted items by tenant.", "signal", "tenant")
        self.tenant_rejected = counter("tenant_rejected_items", "Rejected items by tenant.", "signal", "tenant")
        self.tenant_refused = counter(
            "tenant_refused_requests", "Refused requests by tenant and reason.", "signal", "tenant", "reason"
        )
        self.recovered = counter("recovered_items", "Items found in the spool at start.", "signal")
        self.inserted = counter("inserted_items", "Items the store has taken.", "signal")
        self.sampled_out = counter("sampled_out_items", "Items that sampling left out.", "signal")
        self.segments = counter("inserted_segments", "Segments the store has taken.", "signal")
        self.quarantined = counter("quarantined_items", "Items the store refused, kept in the quarantine.", "signal")
        self.lost_records = counter("lost_records", "Acknowledged records found damaged on disk.", "signal")
        self.torn_bytes = counter("torn_bytes", "Bytes never acknowledged that a crash left at the end.", "signal")
        self.unreadable = counter("unreadable_segments", "Segments of an unknown format, left alone.", "signal")
        self.insert_failures = counter(
            "insert_failures", "Inserts that failed and were tried again.", "signal", "cause"
        )
        self.spool_errors = counter("spool_errors", "Groups of records that could not be written.", "signal")
        self.spool_commits = counter("spool_commits", "Groups of records written, one fdatasync each.", "signal")
        self.insert_seconds = Histogram(
            "meshwise_collector_insert_seconds",
            "Time of inserts that worked.",
            ("signal",),
            buckets=INSERT_BUCKETS,
            registry=self.registry,
        )
        self.spool_bytes = gauge("spool_bytes", "Disk taken by the spool, in bytes.")
        self.parse_bytes = gauge("parse_bytes", "Memory charged to requests in flight, in bytes.")
        self.spooled = gauge("spooled_items", "Items on disk that are not in the store.", "signal")
        self.quarantine_records = gauge("quarantine_records", "Records in the quarantine.")
        self.quarantine_bytes = gauge("quarantine_bytes", "Disk taken by the quarantine, in bytes.")
        self.backlog = gauge("backlog_segments", "Sealed segments not yet in the store.", "signal")
        self.lag_seconds = gauge("lag_seconds", "Age of the oldest record not yet in the store.", "signal")
        self.store_up = gauge("store_up", "1 when the last insert worked, 0 when it failed.")
        for signal in Signal:
            # Series exist from the start, so that a rate over the first event is right.
            for metric in (
                self.accepted,
                self.rejected,
                self.inserted,
                self.sampled_out,
                self.quarantined,
                self.lost_records,
            ):
                metric.labels(signal.value)

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)
