"""What an operator may set of this room; every duration is in seconds."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from meshwise.analytics.alerts.signature import decode_secret
from meshwise.analytics.alerts.template import check_template
from meshwise.analytics.anomaly.config import AnomalyConfig
from meshwise.analytics.cause.config import CauseConfig
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.slo.objectives import ObjectiveDefaults, ObjectiveOverride

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"


class WebhookSettings(BaseModel):
    """One receiver of alerts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default="default",
        min_length=1,
        max_length=128,
        description="What SLO documents call it as a target; several receivers may share a name.",
    )
    format: Literal["alertmanager", "alertmanager_api", "pagerduty", "slack", "cloudevents", "template"] = Field(
        default="alertmanager",
        description="What is posted: Alertmanager's webhook version 4, alerts for an Alertmanager's own API, PagerDuty "
        "Events v2, a Slack message, a CloudEvent, or template.",
    )
    url: str = Field(
        default="",
        description="Where to post; https, or http as well when allow_private is true. Only pagerduty has a default.",
    )
    routing_key: SecretStr | None = Field(default=None, description="Integration key of PagerDuty.")
    template: dict[str, Any] | list[Any] | None = Field(
        default=None,
        description="Document to post per alert; its texts may hold $service and the like: docs/alerts.md.",
    )
    secret: SecretStr | None = Field(
        default=None, description="Signing secret of Standard Webhooks: 'whsec_' + base64."
    )
    previous_secret: SecretStr | None = Field(default=None, description="Signs as well, while a receiver changes over.")
    allow_private: bool = Field(default=False, description="Deliver to private and loopback addresses too.")

    @model_validator(mode="before")
    @classmethod
    def _known_url(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("format") == "pagerduty" and not given.get("url"):
            return {**given, "url": PAGERDUTY_URL}
        return given

    @model_validator(mode="after")
    def _check(self) -> WebhookSettings:
        if (self.format == "pagerduty") != (self.routing_key is not None):
            raise ValueError("routing_key and format: pagerduty belong together")
        if (self.format == "template") != (self.template is not None):
            raise ValueError("template and format: template belong together")
        check_template(self.template)
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("url must look like https://host/path, without a user name")
        if parts.scheme == "http" and not self.allow_private:
            raise ValueError("url must be https; plain http needs allow_private: true")
        for secret in self.secrets:
            decode_secret(secret.get_secret_value())
        return self

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """The secrets that sign, the newest first."""
        return tuple(secret for secret in (self.secret, self.previous_secret) if secret is not None)

    @property
    def host(self) -> str:
        """The receiver's host, which is safe to log: a path may carry a token."""
        return urlsplit(self.url).hostname or ""

    @property
    def lane(self) -> str:
        """Name of its queue: its address, and for PagerDuty which service there is meant."""
        if self.routing_key is None:
            return self.url
        return f"{self.url}#{hashlib.sha256(self.routing_key.get_secret_value().encode()).hexdigest()[:12]}"


class AnalyticsSettings(BaseModel):
    """Settings of ``meshwise analytics``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; any but loopback needs token, tls_cert, tls_key."
    )
    port: int = Field(default=8060, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    token: SecretStr | None = Field(default=None, description="Bearer token that every request but probes must carry.")
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain to serve with.")
    tls_key: Path | None = Field(default=None, description="PEM private key of tls_cert.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities whose client certificates let in as the token does."
    )
    store_url: str = Field(
        default="http://127.0.0.1:8123/meshwise", description="ClickHouse over HTTP, with the database."
    )
    store_user: str = Field(default="", description="User of the store.")
    store_password: SecretStr = Field(default=SecretStr(""), description="Password of the store.")
    store_token: SecretStr = Field(default=SecretStr(""), description="Bearer token for the store, no password then.")
    store_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https store_url; unset: the system's."
    )
    store_client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https store_url, and its private key."
    )
    control_url: str = Field(default="http://127.0.0.1:15010", description="Where control answers.")
    control_token: SecretStr | None = Field(default=None, description="Bearer token for control.")
    control_ca: Path | None = Field(
        default=None, description="PEM file of the authorities to trust at an https control_url; unset: the system's."
    )
    control_client_cert: Path | None = Field(
        default=None, description="PEM file with the certificate to show at an https control_url, and its private key."
    )
    control_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="Longest wait for an answer of control, in seconds."
    )
    data_dir: Path = Field(default=Path("meshwise-data/analytics"), description="Directory of the queue of webhooks.")

    cycle_s: float = Field(default=10.0, gt=0, description="Seconds from the start of one cycle to the next.")
    map_window_s: float = Field(
        default=300.0, ge=10, description="Window of the persisted map and of anomalies, in seconds."
    )
    settle_s: float = Field(
        default=3.0, ge=0, description="How long after a bucket's end its telemetry is awaited, in seconds."
    )
    spans_settle_s: float = Field(
        default=10.0,
        ge=0,
        le=600,
        description="How long after a bucket's end spans of applications without a proxy are awaited before its edges "
        "are derived from them, in seconds; later ones are added when they come.",
    )

    default_objective: ObjectiveDefaults = Field(
        default_factory=ObjectiveDefaults, description="Objectives of every called service."
    )
    objectives: dict[str, ObjectiveOverride] = Field(
        default_factory=dict, description="Objectives of single services, by name."
    )
    slo_min_bad_requests: int = Field(
        default=10, ge=1, description="Bad requests in its long window below which a burn-rate rule stays silent."
    )
    slo_wait_s: float = Field(
        default=5.0,
        ge=0,
        description="A route of which half takes longer than this, in nine of ten hours of a week, waits by design: "
        "latency objectives leave it out, in seconds; 0 leaves out nothing.",
    )
    alert_for_s: float = Field(
        default=10.0, ge=0, description="How long a breach must last before its alert fires, in seconds."
    )
    alert_keep_s: float = Field(
        default=30.0, ge=0, description="How long a firing alert outlives its breach, in seconds."
    )
    alert_group_by: tuple[Literal["service", "objective", "severity", "policy"], ...] = Field(
        default=("service",), description="Alerts that agree in these labels are told in one message."
    )
    webhooks: tuple[WebhookSettings, ...] = Field(default=(), description="Receivers of alerts.")
    webhook_queue_max: int = Field(
        default=1000, ge=1, description="Waiting documents per receiver; the oldest is dropped."
    )
    external_url: str = Field(default="http://127.0.0.1:8050", description="Dashboard address, linked from alerts.")

    proposal_every_s: float = Field(default=30.0, gt=0, description="Seconds between two looks for better policies.")
    proposal_urgent_s: float = Field(
        default=10.0, gt=0, description="The same while an alert fires or an edge is flagged as unusual."
    )
    proposal_window_s: float = Field(
        default=900.0, ge=10, description="Window of attempts a proposal rests on, in seconds."
    )
    anomaly: AnomalyConfig = Field(default_factory=AnomalyConfig, description="When an edge is anomalous.")
    cause: CauseConfig = Field(default_factory=CauseConfig, description="When a node is to blame for an alert.")
    proposal: ProposalConfig = Field(default_factory=ProposalConfig, description="What a proposal must rest on.")
    rehearsal: RehearsalConfig = Field(
        default_factory=RehearsalConfig, description="How a policy is rehearsed before it is proposed."
    )
    rollout: RolloutConfig = Field(default_factory=RolloutConfig, description="When a canary is good enough.")
    rollout_every_s: float = Field(
        default=2.0, gt=0, description="Seconds between two looks at rollouts under way, where a cycle takes longer."
    )
    rollout_automatic: bool = Field(
        default=False, description="Submit proposals to control as canary rollouts by itself."
    )
    rollout_approval: tuple[str, ...] = Field(
        default=(),
        description="Called services whose rollouts wait for an operator, also those submitted by themselves.",
    )
    rollout_memory_s: float = Field(
        default=21_600.0,
        ge=0,
        description="How long a policy that was rolled back or replaced is not submitted again, in seconds.",
    )
    rollout_cooldown_s: float = Field(
        default=600.0,
        ge=0,
        description="Rest of a destination after a rollout ended before the next is submitted, in seconds.",
    )

    @field_validator("objectives")
    @classmethod
    def _named(cls, objectives: dict[str, ObjectiveOverride]) -> dict[str, ObjectiveOverride]:
        if "" in objectives:
            raise ValueError("objectives need the name of a service")
        return objectives

    @model_validator(mode="after")
    def _check(self) -> AnalyticsSettings:
        if len({webhook.lane for webhook in self.webhooks}) != len(self.webhooks):
            raise ValueError("webhooks: two receivers have the same url")
        return self

    @property
    def is_loopback(self) -> bool:
        """Tell whether ``host`` can only be reached from this machine."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False
