"""What control hands one proxy: every endpoint it may call and every policy in force, as one immutable whole.

    GET /v1/proxies/{id}/snapshot
    → {"version", "service", "clusters": {name: {"endpoints": [{"id", "host", "port", "zone"?, "tls"?, "weight"?,
       "priority"?, "labels"?}]}},
       "policies": [...]}

``version`` is the mesh-wide revision and only grows; a proxy refuses a lower one. An endpoint's address is the inbound
listener of the proxy beside the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import TLS_MODES, TlsMode
from meshwise.contracts.policy import Policy, parse_policy, take_labels
from meshwise.contracts.reading import Reader

MAX_ENTRIES = 10_000
"""Most endpoints, and most policies, one snapshot may carry."""
MAX_WEIGHT = 100
MAX_PRIORITY = 15


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance of a service: where its inbound proxy listens."""

    id: str
    host: str
    port: int
    zone: str = ""
    tls: TlsMode = "off"
    """``strict``: reached over mutual TLS alone; ``permissive``: by callers without an identity also in the clear."""
    weight: int = 1
    priority: int = 0
    """Level 0 is used as long as enough of it is available, then 1 as well, and so on."""
    labels: tuple[tuple[str, str], ...] = ()
    """In order of their names."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that steers one proxy. ``clusters`` maps a service name to its endpoints, in order of their id."""

    version: int
    service: str
    clusters: Mapping[str, tuple[Endpoint, ...]]
    policies: tuple[Policy, ...]

    def to_document(self) -> dict[str, Any]:
        """Return the document that ``parse_snapshot`` turns back into an equal snapshot."""
        return {
            "version": self.version,
            "service": self.service,
            "clusters": {
                name: {"endpoints": [_endpoint_document(endpoint) for endpoint in endpoints]}
                for name, endpoints in self.clusters.items()
            },
            "policies": [policy.to_document() for policy in self.policies],
        }


def parse_snapshot(document: object) -> Snapshot:
    """Return the snapshot that ``document`` describes.

    Raises:
        DocumentError: the first mistake found; the snapshot is refused whole.
    """
    reader = Reader(document)
    version = reader.take_count("version", -1, 0, 2**53)
    if version < 0:
        raise DocumentError("version", "is required")
    service = reader.take_text("service")
    services = reader.take_section("clusters")
    clusters = {
        name: take_endpoints(Reader(services.take(name), services.at(name[:80]))) for name in sorted(services.names)
    }
    raw_policies = reader.take_list("policies") or ()
    reader.finish()
    if len(raw_policies) > MAX_ENTRIES or sum(map(len, clusters.values())) > MAX_ENTRIES:
        raise DocumentError("", f"a snapshot carries at most {MAX_ENTRIES} endpoints and as many policies")
    policies = []
    for position, raw in enumerate(raw_policies):
        try:
            policies.append(parse_policy(raw))
        except DocumentError as error:
            path = f"policies[{position}]"
            raise DocumentError(f"{path}.{error.path}" if error.path else path, error.problem) from None
    return Snapshot(version, service, clusters, tuple(policies))


def _endpoint_document(endpoint: Endpoint) -> dict[str, Any]:
    document: dict[str, Any] = {"id": endpoint.id, "host": endpoint.host, "port": endpoint.port}
    if endpoint.zone:
        document["zone"] = endpoint.zone
    if endpoint.tls != "off":
        document["tls"] = endpoint.tls
    if endpoint.weight != 1:
        document["weight"] = endpoint.weight
    if endpoint.priority:
        document["priority"] = endpoint.priority
    if endpoint.labels:
        document["labels"] = dict(endpoint.labels)
    return document


def take_tls(reader: Reader) -> TlsMode:
    """Return the ``tls`` of an endpoint; ``off`` when absent."""
    if not reader.has("tls"):
        reader.take("tls")
        return "off"
    said = reader.take_text("tls")
    for mode in TLS_MODES:
        if said == mode:
            return mode
    raise DocumentError(reader.at("tls"), f"{said[:40]!r} is not one of {', '.join(TLS_MODES)}")


def take_endpoints(cluster: Reader) -> tuple[Endpoint, ...]:
    """Return the endpoints of one cluster's section, in order of their ids; the section has nothing else."""
    items = cluster.take_list("endpoints") or ()
    cluster.finish()
    endpoints = []
    for position, item in enumerate(items):
        reader = Reader(item, f"{cluster.path}.endpoints[{position}]")
        port = reader.take_count("port", 0, 1, 65535)
        if not port:
            raise DocumentError(reader.at("port"), "is required")
        zone = reader.take_text("zone", "") if reader.has("zone") else ""
        reader.take("zone")
        endpoints.append(
            Endpoint(
                reader.take_text("id"),
                reader.take_text("host"),
                port,
                zone,
                take_tls(reader),
                weight=reader.take_count("weight", 1, 1, MAX_WEIGHT),
                priority=reader.take_count("priority", 0, 0, MAX_PRIORITY),
                labels=take_labels(reader, "labels"),
            )
        )
        reader.finish()
    return tuple(sorted(endpoints, key=lambda endpoint: endpoint.id))
