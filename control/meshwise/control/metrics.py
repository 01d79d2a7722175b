"""What control counts about itself, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class ControlMetrics:
    """Counters and gauges of one control plane."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.requests = Counter(
            "meshwise_control_requests", "API requests answered", ["method", "route", "status"], registry=r
        )
        self.duration = Histogram(
            "meshwise_control_request_duration_seconds", "Time to answer an API request", ["route"], registry=r
        )
        self.revision = Gauge("meshwise_control_revision", "Mesh-wide revision of the snapshots", registry=r)
        self.proxies = Gauge("meshwise_control_proxies", "Registered proxies", ["alive"], registry=r)
        self.rollouts = Gauge("meshwise_control_rollouts", "Rollouts that are not finished", ["state"], registry=r)
        self.streams = Gauge("meshwise_control_event_streams", "Event streams open", registry=r)
        self.overwritten = Gauge(
            "meshwise_control_events_overwritten", "Revisions a slow stream never saw, since the start", registry=r
        )
        self.expired = Counter("meshwise_control_proxies_expired", "Proxies that fell silent", registry=r)
        self.certificates = Counter("meshwise_control_certificates", "Certificates asked for", ["answer"], registry=r)
        self.failed_ticks = Counter("meshwise_control_ticks_failed", "Expiry runs that failed", registry=r)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
