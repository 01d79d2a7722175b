"""Settings of the dashboard; the section ``dashboard`` of meshwise.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class DashboardSettings(BaseModel):
    """Where the dashboard listens and whom it asks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; off loopback it needs token, tls_cert and tls_key."
    )
    port: int = Field(default=8050, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    store_url: str = Field(default="http://127.0.0.1:8123/meshwise", description="ClickHouse address and database.")
    store_user: str = Field(default="", description="User for the store; empty for none.")
    store_password: str = Field(default="", description="Password for the store.", repr=False)
    store_token: str = Field(default="", description="Bearer token for the store, no password then.", repr=False)
    store_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https store_url; unset: the system's."
    )
    store_client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https store_url, and its private key."
    )
    control_url: str = Field(default="http://127.0.0.1:15010", description="Address of control's API.")
    control_token: str = Field(default="", description="Bearer token for control, when it asks for one.", repr=False)
    control_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https control_url; unset: the system's."
    )
    control_client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https control_url, and its private key."
    )
    refresh_s: float = Field(default=5.0, ge=1.0, le=3600.0, description="Seconds between refreshes of an open page.")
    cache_s: float = Field(default=2.0, ge=0.0, le=60.0, description="Seconds an answer of the store is reused.")
    query_timeout_s: float = Field(
        default=10.0, gt=0.0, le=60.0, description="Seconds after which a query or call is given up."
    )
    allowed_hosts: tuple[str, ...] = Field(default=(), description="Further names browsers may use for the dashboard.")
    token: str = Field(default="", description="Bearer token of clients; required off loopback.", repr=False)
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain; required off loopback.")
    tls_key: Path | None = Field(default=None, description="PEM private key; required off loopback.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities whose client certificates let in as the token does."
    )
