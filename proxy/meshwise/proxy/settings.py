"""What an operator may set of one proxy; defaults here and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import TlsMode
from meshwise.contracts.policy import take_labels
from meshwise.contracts.reading import Reader
from meshwise.contracts.snapshot import MAX_PRIORITY, MAX_WEIGHT

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)


SECRETS: Final = {"join_token", "collector_token", "control_token"}
"""Settings that nobody is shown."""


class ProxySettings(BaseModel):
    """Settings of one proxy. Durations are seconds, sizes are bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str = Field(description="Name of the service this proxy stands beside: lower-case letters, digits, . _ -.")
    instance_id: str = Field(
        default="", description="Id of this instance, unique in the mesh; empty: service name and port."
    )
    zone: str = Field(default="", description="Failure zone of this instance, for the registry; may be empty.")

    weight: int = Field(
        default=1, ge=1, le=MAX_WEIGHT, description="Share of the service's requests that this instance gets."
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=MAX_PRIORITY,
        description="Level of this instance: 0 is used first, 1 when 0 is short of it.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="What this instance is, such as version: v2, for policies to choose by."
    )

    host: str = Field(default="127.0.0.1", description="Address that every listener of this proxy binds.")
    outbound_port: int = Field(
        default=15001, ge=0, le=65535, description="Port where the application sends its requests."
    )
    inbound_port: int = Field(
        default=15006, ge=0, le=65535, description="Port where other proxies reach the application."
    )
    admin_port: int = Field(
        default=15000, ge=0, le=65535, description="Port of health, metrics and the configuration dump."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that share the listeners; above 1 each has breaker and pool of its own.",
    )
    handover_socket: Path | None = Field(
        default=None,
        description="Unix socket where the next proxy takes the listeners over; a restart then drops no connection.",
    )
    advertise_host: str = Field(
        default="127.0.0.1", description="Address under which other proxies reach the inbound port."
    )
    app_host: str = Field(default="127.0.0.1", description="Address of the application beside this proxy.")
    app_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the application; unset: no inbound side."
    )
    app_socket: Path | None = Field(
        default=None, description="Unix socket of the application, in place of its address and port."
    )
    app_protocol: Literal["http", "tcp"] = Field(
        default="http", description="What the application speaks: http, or tcp, which is relayed without a look at it."
    )
    tcp_services: dict[str, int] = Field(
        default_factory=dict,
        description=(
            "Services reached by plain TCP, each with the port on which this proxy listens for it; with"
            " transparent capture, also the port that callers of it connect to."
        ),
    )
    transparent: bool = Field(
        default=False,
        description="Connections are redirected here by netfilter; the port they were made to names a TCP service.",
    )

    control_url: str | None = Field(
        default=None, description="Base URL of control; unset: the snapshot file rules alone."
    )
    control_token: str = Field(
        default="", repr=False, max_length=4096, description="Bearer token that control asks for; empty for none."
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities to trust at https addresses of control and collector; unset: the"
        " system's.",
    )
    client_cert: Path | None = Field(
        default=None,
        description="PEM file with the certificate to show there, and its private key; unset: the one of its identity.",
    )
    discovery_file: Path | None = Field(
        default=None,
        description="YAML file with services that control does not know, by address or DNS name; it is followed.",
    )
    dns_server: str = Field(
        default="", description="host:port of the DNS server to ask; empty: the first one of /etc/resolv.conf."
    )
    snapshot_file: Path | None = Field(
        default=None, description="JSON snapshot to start from when there is no control."
    )
    snapshot_cache_dir: Path | None = Field(default=None, description="Directory that keeps the last good snapshot.")
    collector_url: str | None = Field(
        default=None, description="Base URL of the OTLP/HTTP collector; unset: nothing is sent."
    )
    collector_token: str = Field(
        default="", repr=False, max_length=4096, description="Bearer token that the collector asks for; empty for none."
    )
    export_interval_s: float = Field(
        default=10.0,
        ge=0.1,
        le=60.0,
        description="Seconds between exports of metrics; 2 at most for two minutes after policies changed.",
    )
    trace_ratio: float = Field(
        default=1.0, ge=0.0, le=1.0, description="Share of the traces begun here that are exported."
    )
    ring_size: int = Field(
        default=8192, ge=16, le=1_000_000, description="Finished records kept while they await export."
    )

    identity: TlsMode = Field(
        default="off",
        description=(
            "Mutual TLS with other proxies: off; permissive, which takes plain calls too and makes TLS wherever it is"
            " offered; strict, which neither takes nor makes a plain one. A later release will change the default."
        ),
    )
    identity_dir: Path | None = Field(
        default=None, description="Directory that keeps key and certificate; a restart then needs no join token."
    )
    join_token: str | None = Field(
        default=None, repr=False, description="One-time token with which this proxy joins; control gives it out."
    )
    join_token_file: Path | None = Field(default=None, description="File with the join token, in place of the token.")

    access_file: Path | None = Field(
        default=None,
        description="Document of issuers and rules that say who may call the application; read when it changes.",
    )
    refuse_odd_paths: bool = Field(
        default=False,
        description=(
            "Answer 400 to every path that an application may take for another: dot segments, //, ;, backslashes,"
            " escaped separators. Paths that access rules look at are always refused then."
        ),
    )
    trusted_hops: int | None = Field(
        default=None,
        ge=0,
        le=32,
        description=(
            "Proxies before the inbound listener whose X-Forwarded-* and Forwarded are believed; unset: passed on as"
            " they come."
        ),
    )

    drain_delay_s: float = Field(
        default=1.0, ge=0.0, le=60.0, description="Seconds of service after readiness was withdrawn."
    )
    drain_timeout_s: float = Field(
        default=25.0, ge=0.0, le=600.0, description="Seconds that requests under way may still take."
    )

    inbound_timeout_s: float = Field(
        default=15.0, gt=0.0, le=3600.0, description="Seconds for an inbound request that carries no deadline."
    )
    inbound_connect_timeout_s: float = Field(
        default=1.0, gt=0.0, le=60.0, description="Seconds to connect to the application."
    )
    head_timeout_s: float = Field(
        default=10.0, gt=0.0, le=300.0, description="Seconds from first byte to complete head."
    )
    keep_alive_s: float = Field(
        default=75.0, gt=0.0, le=3600.0, description="Seconds an idle downstream connection is kept."
    )
    body_gap_s: float = Field(default=30.0, gt=0.0, le=600.0, description="Seconds without a byte of a request's body.")
    app_pool_idle_s: float = Field(
        default=4.0, gt=0.0, le=600.0, description="Seconds an idle connection to the app is kept."
    )
    proxy_pool_idle_s: float = Field(
        default=60.0, gt=0.0, le=3600.0, description="The same for connections to other proxies."
    )

    max_connections: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Most downstream connections per listener; fewer where the limit of open files asks for it.",
    )
    max_request_line_bytes: int = Field(default=16_384, ge=256, le=65_536, description="Longest request line.")
    max_head_bytes: int = Field(
        default=61_440, ge=1024, le=1_048_576, description="Largest head, and largest trailer block."
    )
    max_field_bytes: int = Field(default=16_384, ge=256, le=1_048_576, description="Longest header line.")
    max_fields: int = Field(default=100, ge=8, le=1000, description="Most header lines in a head.")
    http2_max_streams: int = Field(
        default=100, ge=1, le=100_000, description="Requests at once over one HTTP/2 connection."
    )
    http2_max_streams_mesh: int = Field(
        default=1000, ge=1, le=100_000, description="The same for a proxy that proved its identity."
    )
    http2_sign_of_life_s: float = Field(
        default=5.0,
        gt=0.0,
        le=60.0,
        description="Seconds an endpoint may take to answer the PING that follows a stream without an answer.",
    )
    replay_bytes: int = Field(
        default=65_536, ge=0, le=1_048_576, description="Request body kept for a retry, per request."
    )
    replay_total_bytes: int = Field(default=33_554_432, ge=0, description="Request bodies kept for retries, in all.")
    upgrades: tuple[str, ...] = Field(
        default=("websocket",), description="Protocols that a request may switch to (Upgrade)."
    )
    connect_ports: tuple[int, ...] = Field(
        default=(80, 443), description="Ports of services of the mesh that CONNECT may name."
    )
    tunnel_idle_s: float = Field(
        default=300.0,
        gt=0.0,
        le=86_400.0,
        description="Seconds without a byte after which an upgraded, CONNECT or TCP connection is closed.",
    )
    write_high_bytes: int = Field(
        default=65_536, ge=1024, le=16_777_216, description="Unsent bytes that pause the sender."
    )

    @field_validator("service")
    @classmethod
    def _service_is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"{value!r} must be lower-case letters, digits, '.', '_' or '-'")
        return value

    @field_validator("instance_id")
    @classmethod
    def _instance_is_a_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[a-z0-9._-]{1,128}", value, re.ASCII):
            raise ValueError(f"{value!r} must be 1 to 128 lower-case letters, digits, '.', '_' or '-'")
        return value

    @field_validator("labels")
    @classmethod
    def _labels_are_labels(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            take_labels(Reader({"labels": value}), "labels")
        except DocumentError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("control_url", "collector_url")
    @classmethod
    def _url_is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} must start with http:// or https://")
        return value.rstrip("/") if value is not None else None

    @field_validator("tcp_services")
    @classmethod
    def _tcp_services_are_named(cls, value: dict[str, int]) -> dict[str, int]:
        for name, port in value.items():
            if not _NAME.fullmatch(name) or not 0 <= port <= 65_535:
                raise ValueError(f"{name!r}: {port} must be a service and a port from 0 to 65535")
        ports = [port for port in value.values() if port]
        if len(ports) != len(set(ports)):
            raise ValueError("two services have the same port")
        return value

    @property
    def has_application(self) -> bool:
        """There is an inbound side."""
        return self.app_port is not None or self.app_socket is not None

    @model_validator(mode="after")
    def _identity_is_complete(self) -> Self:
        if self.identity != "off" and (self.identity_dir is None or self.control_url is None):
            raise ValueError(f"identity {self.identity!r} needs identity_dir and control_url")
        return self
