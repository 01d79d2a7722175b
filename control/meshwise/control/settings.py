"""Everything an operator may set about control."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meshwise.contracts.identity import is_trust_domain
from meshwise.contracts.snapshot import MAX_PATIENCE_S, MIN_PATIENCE_S
from meshwise.control.snapshots import PATIENCE_S


class ControlSettings(BaseModel):
    """Settings of ``meshwise control``; durations in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; any other than loopback needs a token and TLS"
    )
    port: int = Field(default=15010, ge=0, le=65535, description="TCP port of the HTTP API; 0 picks a free one")
    data_dir: Path = Field(
        default=Path("meshwise-data/control"), description="Directory of control.db, made when missing"
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="SQLAlchemy URL, such as postgresql+psycopg://…; empty means SQLite in data_dir",
    )
    token: str | None = Field(
        default=None, min_length=16, repr=False, description="Bearer token that every API request must carry"
    )
    proxy_token: str | None = Field(
        default=None,
        min_length=16,
        repr=False,
        description="Bearer token for proxies: it opens what they ask, and none of what operators do",
    )
    tls_cert: Path | None = Field(default=None, description="PEM file with the server's certificate chain")
    tls_key: Path | None = Field(default=None, description="PEM file with the certificate's private key")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authorities whose client certificates let in operators; the certificates that "
        "proxies have from control let them in anyway, to what proxies ask",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        description="Names accepted in the Host header besides localhost, 127.0.0.1 and [::1] (without port)",
    )
    heartbeat_s: float = Field(
        default=2.0, gt=0, description="How often a proxy is asked to send a heartbeat, in seconds"
    )
    ttl_s: float = Field(default=10.0, gt=0, description="Silence after which a proxy leaves the snapshots, in seconds")
    trial_patience_s: float = Field(
        default=PATIENCE_S,
        ge=MIN_PATIENCE_S,
        le=MAX_PATIENCE_S,
        description="How long a proxy obeys a candidate on trial when control no longer confirms it, in seconds",
    )
    forget_s: float = Field(
        default=3600.0, gt=0, description="Silence after which a proxy leaves the registry, in seconds"
    )
    tick_s: float = Field(default=0.5, gt=0, description="How often expiry is looked at, in seconds")
    keepalive_s: float = Field(
        default=15.0, gt=0, description="Pause between comment lines on an event stream, in seconds"
    )
    stall_s: float = Field(
        default=30.0, gt=0, description="How long a stream may not take a byte before it is cut, in seconds"
    )
    max_proxies: int = Field(default=10_000, ge=1, le=10_000, description="Most proxies in the registry")
    max_policies: int = Field(default=10_000, ge=1, le=10_000, description="Most policies in force")
    max_streams: int = Field(default=10_000, ge=1, description="Most event streams open at once, one per proxy")
    body_limit_bytes: int = Field(default=1 << 20, ge=1024, description="Largest request body, in bytes")
    document_limit_bytes: int = Field(
        default=256 << 10, ge=1024, description="Largest policy or evidence document, in bytes"
    )
    trust_domain: str = Field(
        default="mesh.local", description="Name of the mesh in identities: spiffe://<trust domain>/<service>"
    )
    authority_life_s: float = Field(
        default=315_360_000.0, ge=60.0, description="Life of the authority's certificate when it is made, in seconds"
    )
    new_authority: bool = Field(
        default=False,
        description="Take the authority in data_dir in place of the one the mesh had; every proxy must join anew",
    )
    certificate_life_s: float = Field(
        default=86_400.0, ge=1.0, le=2_592_000.0, description="Life of a proxy's certificate, in seconds"
    )
    join_token_life_s: float = Field(
        default=600.0, ge=1.0, le=604_800.0, description="How long a join token may be used, in seconds"
    )
    audit_keep: int = Field(default=100_000, ge=100, description="Audit entries kept; the oldest go first")
    drain_s: float = Field(
        default=5.0, gt=0, description="How long requests under way may still take at the end, in seconds"
    )

    @model_validator(mode="after")
    def _patience_outlasts_heartbeats(self) -> Self:
        least = 3 * self.heartbeat_s
        if self.trial_patience_s < least:
            raise ValueError(
                f"trial_patience_s {self.trial_patience_s:g} must be {least:g} or more: three times heartbeat_s"
            )
        return self

    @field_validator("trust_domain")
    @classmethod
    def _trust_domain_is_a_name(cls, value: str) -> str:
        if not is_trust_domain(value):
            raise ValueError(f"{value!r} must be lower-case letters, digits, '.', '_' or '-'")
        return value
