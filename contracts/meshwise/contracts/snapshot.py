"""What control hands one proxy: every endpoint it may call and every policy in force, as one immutable whole.

    GET /v1/proxies/{id}/snapshot
    → {"version", "service", "clusters": {name: {"endpoints": [{"id", "host", "port", "zone"?, "tls"?, "weight"?,
       "priority"?, "labels"?}]}},
       "policies": [...], "trial"?: {"patience": "30s", "names": [...], "in_force": [...]}}

``version`` is the mesh-wide revision and only grows; a proxy refuses a lower one. An endpoint's address is the inbound
listener of the proxy beside the application. ``trial`` is there when some of the policies are tried out only: the
candidate of a rollout, for all or a share of the requests, or as a shadow. It says which they are and what is in force
in their stead, and how long a proxy may go on with them when control no longer confirms the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from meshwise.contracts.duration import format_duration
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import TLS_MODES, TlsMode
from meshwise.contracts.policy import Policy, parse_policy, take_labels
from meshwise.contracts.reading import Reader

MAX_ENTRIES = 10_000
"""Most endpoints, and most policies, one snapshot may carry."""
MAX_WEIGHT = 100
MAX_PRIORITY = 15
MIN_PATIENCE_S: Final = 0.1
MAX_PATIENCE_S: Final = 120.0
"""Longest that a proxy obeys what is on trial without a word from control; no document lifts it."""


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
class Trial:
    """Which policies of a snapshot nobody has approved yet: all those called one of ``names``.

    ``in_force`` takes their place once control has not confirmed the snapshot for ``patience_s`` seconds.
    """

    patience_s: float
    names: tuple[str, ...]
    in_force: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that steers one proxy. ``clusters`` maps a service name to its endpoints, in order of their id."""

    version: int
    service: str
    clusters: Mapping[str, tuple[Endpoint, ...]]
    policies: tuple[Policy, ...]
    trial: Trial | None = None

    def settled(self) -> Snapshot:
        """Return the snapshot without its trial: what was approved, and nothing else."""
        if self.trial is None:
            return self
        names = set(self.trial.names)
        kept = (policy for policy in self.policies if policy.name not in names)
        return replace(self, policies=in_order((*kept, *self.trial.in_force)), trial=None)

    def to_document(self) -> dict[str, Any]:
        """Return the document that ``parse_snapshot`` turns back into an equal snapshot."""
        document: dict[str, Any] = {
            "version": self.version,
            "service": self.service,
            "clusters": {
                name: {"endpoints": [_endpoint_document(endpoint) for endpoint in endpoints]}
                for name, endpoints in self.clusters.items()
            },
            "policies": [policy.to_document() for policy in self.policies],
        }
        if self.trial is not None:
            document["trial"] = {
                "patience": format_duration(self.trial.patience_s),
                "names": list(self.trial.names),
                "in_force": [policy.to_document() for policy in self.trial.in_force],
            }
        return document


def in_order(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Return policies as a snapshot lists them: by name, one for a share of the requests after that for the rest.

    What a proxy reports as in force is the last of a name.
    """
    return tuple(sorted(policies, key=lambda policy: (policy.name, policy.match.percent < 100.0)))


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
    if sum(map(len, clusters.values())) > MAX_ENTRIES:
        raise DocumentError("clusters", f"a snapshot carries at most {MAX_ENTRIES} endpoints")
    policies = _take_policies(reader, "policies")
    trial = _take_trial(reader) if reader.has("trial") else None
    reader.take("trial")
    reader.finish()
    return Snapshot(version, service, clusters, policies, trial)


def _take_policies(reader: Reader, key: str) -> tuple[Policy, ...]:
    raw_policies = reader.take_list(key) or ()
    if len(raw_policies) > MAX_ENTRIES:
        raise DocumentError(reader.at(key), f"a snapshot carries at most {MAX_ENTRIES} policies")
    policies = []
    for position, raw in enumerate(raw_policies):
        try:
            policies.append(parse_policy(raw))
        except DocumentError as error:
            path = f"{reader.at(key)}[{position}]"
            raise DocumentError(f"{path}.{error.path}" if error.path else path, error.problem) from None
    return tuple(policies)


def _take_trial(snapshot: Reader) -> Trial:
    reader = snapshot.take_section("trial")
    patience_s = reader.take_seconds("patience", None, MIN_PATIENCE_S, MAX_PATIENCE_S)
    if patience_s is None:
        raise DocumentError(reader.at("patience"), "is required")
    names = reader.take_list("names") or ()
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise DocumentError(f"{reader.at('names')}[{position}]", "must be the name of a policy")
    in_force = _take_policies(reader, "in_force")
    reader.finish()
    return Trial(patience_s, tuple(map(str, names)), in_force)


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
