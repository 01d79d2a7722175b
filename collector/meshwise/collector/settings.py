"""What an operator can set for the collector: durations are seconds (``*_s``), sizes are bytes (``*_bytes``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, field_validator

from meshwise.contracts.identity import is_trust_domain

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
MESH_NAME: Final = "mesh"
"""Who sends without being a tenant."""


class TenantSettings(BaseModel, frozen=True, extra="forbid"):
    """One token, and what its bearer may say."""

    name: str = Field(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        description="stamped on everything as the resource attribute meshwise.tenant",
    )
    token: str = Field(min_length=16, max_length=4096, repr=False, description="bearer token of this tenant")
    attributes: Mapping[str, str] = Field(
        default_factory=dict, description="resource attributes that replace what the sender says"
    )
    services: tuple[str, ...] = Field(
        default=(), description="the only values of service.name it may send; empty for any"
    )
    requests_per_s: float | None = Field(
        default=None, ge=0, description="most requests a second; unset: collector.tenant_requests_per_s, 0: no limit"
    )
    bytes_per_s: float | None = Field(
        default=None,
        ge=0,
        description="most unpacked bytes a second; unset: collector.tenant_bytes_per_s, 0: no limit",
    )
    proxies: bool = Field(default=False, description="whether it may report as a proxy, whose counts move policies")


class SamplingSettings(BaseModel, frozen=True, extra="forbid"):
    """Which spans go on to the store; metrics and logs are never sampled."""

    ratio: float = Field(
        default=1.0, gt=0, le=1, description="share of the traces kept by chance (0-1]; 1 keeps everything"
    )
    errors: bool = Field(default=True, description="keep every trace with a span that failed")
    slow_s: float = Field(
        default=1.0, ge=0, description="keep every trace with a span of this many seconds or more; 0 switches it off"
    )
    slow_share: float = Field(
        default=0.01,
        ge=0,
        le=0.5,
        description="keep traces with a span among this share of the slowest of its route; 0 switches it off",
    )
    rare_per_minute: int = Field(
        default=6, ge=0, description="keep the traces of so many spans of each route a minute; 0 switches it off"
    )
    wait_s: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description="time the rest of a trace has to arrive before it is decided, in seconds",
    )
    max_traces: int = Field(default=200_000, ge=1000, description="traces remembered as worth keeping")
    max_routes: int = Field(default=10_000, ge=10, description="routes (service and span name) told apart")


class CollectorSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of one collector process."""

    host: str = Field(default="127.0.0.1", description="address to listen on; other than loopback needs token and TLS")
    grpc_port: int = Field(default=4317, ge=0, le=65535, description="TCP port of OTLP/gRPC; 0 picks a free one")
    http_port: int = Field(
        default=4318,
        ge=0,
        le=65535,
        description="TCP port of OTLP/HTTP, /livez, /readyz and /metrics; 0 picks a free one",
    )
    token: str = Field(
        default="", repr=False, description="bearer token of the mesh itself; empty and no tenants lets everyone send"
    )
    tenants: tuple[TenantSettings, ...] = Field(
        default=(),
        description="further tokens and what their bearers may say: a list of name, token, attributes, services, "
        "proxies, requests_per_s, bytes_per_s",
    )
    tenant_requests_per_s: float = Field(
        default=0.0, ge=0, description="most requests a second of each tenant; 0 for no limit"
    )
    tenant_bytes_per_s: float = Field(
        default=0.0, ge=0, description="most bytes a second of each tenant, unpacked; 0 for no limit"
    )
    tenant_burst_s: float = Field(
        default=5.0, gt=0, le=3600, description="how many seconds' worth of its limits a tenant may send at once"
    )
    tenant_memory_share: float = Field(
        default=0.5, gt=0, le=1, description="most of max_parse_bytes that the requests of one tenant may take (0-1]"
    )
    tls_cert: Path | None = Field(default=None, description="PEM file with the server certificate chain")
    tls_key: Path | None = Field(default=None, description="PEM file with the private key of tls_cert")

    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities whose client certificates senders must show"
    )
    trust_domain: str = Field(
        default="mesh.local", description="name of the mesh in client certificates: spiffe://<trust domain>/<service>"
    )

    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="further names in the Host header that mean this server, while it listens on loopback"
    )

    data_dir: Path = Field(
        default=Path("meshwise-data/collector"),
        description="directory of the spool and the quarantine; one collector each",
    )
    store_url: str = Field(
        default="http://127.0.0.1:8123/meshwise", description="ClickHouse HTTP address with the database"
    )
    store_user: str = Field(default="", description="ClickHouse user; empty for the default user")
    store_password: str = Field(default="", repr=False, description="password of store_user")
    store_token: str = Field(default="", repr=False, description="bearer token for the store, instead of a password")
    store_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https store_url; unset: the system's"
    )
    store_client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https store_url, and its private key"
    )

    store_cluster: bool = Field(
        default=False,
        description="whether the store is a cluster laid out by `meshwise store migrate --cluster`: an insert then "
        "waits for all shards and a quorum of their replicas",
    )

    max_body_bytes: int = Field(
        default=64 * MIB,
        ge=1024,
        le=512 * MIB,
        description="largest request in bytes, on the wire and after decompression",
    )
    max_items: int = Field(
        default=100_000, ge=1, le=10_000_000, description="most spans, data points or log records in one request"
    )
    max_item_bytes: int = Field(
        default=4 * MIB, ge=1024, le=64 * MIB, description="largest span, data point or log record in bytes"
    )
    max_attributes: int = Field(default=1024, ge=1, le=65536, description="most attributes of one item")
    max_attribute_bytes: int = Field(
        default=256 * 1024, ge=1024, le=16 * MIB, description="largest attribute, key and value together, in bytes"
    )
    max_past_s: float = Field(
        default=259_200.0,
        gt=0,
        description="age in seconds beyond which a time cannot be right: the item is stored as of now, and flagged",
    )
    max_future_s: float = Field(
        default=600.0, gt=0, description="how far ahead in seconds a time may be, before it cannot be right"
    )
    max_parse_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="memory for requests in flight in bytes; a request is charged 8 times its size",
    )
    offload_bytes: int = Field(
        default=MIB, ge=0, description="requests above this size in bytes are parsed in a worker thread"
    )
    body_timeout_s: float = Field(
        default=30.0, gt=0, description="time a sender has for a whole request body, in seconds"
    )
    max_connections: int = Field(default=1000, ge=1, description="most HTTP connections at once; beyond, 503")

    flush_interval_s: float = Field(
        default=1.0, gt=0, le=3600, description="age in seconds at which an open segment is sealed and inserted"
    )
    segment_bytes: int = Field(
        default=64 * MIB,
        ge=4096,
        le=256 * MIB,
        description="size in bytes at which an open segment is sealed; one insert holds one segment in memory",
    )
    spool_max_bytes: int = Field(
        default=4 * GIB,
        ge=64 * 1024,
        description="most disk the spool takes in bytes; from 80 % on senders are told to wait",
    )
    spool_min_free_bytes: int = Field(
        default=GIB, ge=0, description="disk space left free in bytes, but never more than 5 % of the disk"
    )
    retry_after_s: float = Field(
        default=5.0, gt=0, le=3600, description="what a refused sender is told to wait, in seconds"
    )

    sampling: SamplingSettings = Field(
        default_factory=SamplingSettings, description="which spans go on to the store: by chance, and for what they are"
    )

    inserts: int = Field(
        default=2,
        ge=1,
        le=16,
        description="segments of spans inserted at the same time while they pile up; each is in memory whole",
    )
    insert_timeout_s: float = Field(default=60.0, gt=0, description="time one insert may take, in seconds")
    insert_retry_min_s: float = Field(default=1.0, gt=0, description="first wait after a failed insert, in seconds")
    insert_retry_max_s: float = Field(
        default=30.0, gt=0, description="longest wait between two tries of an insert, in seconds"
    )
    instance_id: str = Field(
        default="", max_length=128, description="name of this collector in its own telemetry; empty: host name and port"
    )
    stats_interval_s: float = Field(
        default=10.0,
        ge=0.05,
        le=3600,
        description="time between two rows of mesh_collector_stats per signal, in seconds",
    )
    drain_s: float = Field(default=5.0, ge=0, description="time to insert what is left when asked to stop, in seconds")

    @field_validator("tenants")
    @classmethod
    def _tenants_differ(cls, tenants: tuple[TenantSettings, ...]) -> tuple[TenantSettings, ...]:
        if any(tenant.name == MESH_NAME for tenant in tenants):
            raise ValueError(f"no tenant may be called {MESH_NAME}: that is who sends with collector.token")
        for what in ("name", "token"):
            if len({getattr(tenant, what) for tenant in tenants}) < len(tenants):
                raise ValueError(f"two tenants have the same {what}")
        return tenants

    @field_validator("trust_domain")
    @classmethod
    def _trust_domain_is_one(cls, value: str) -> str:
        if not is_trust_domain(value):
            raise ValueError(f"{value!r} is no trust domain: write it like mesh.local")
        return value
