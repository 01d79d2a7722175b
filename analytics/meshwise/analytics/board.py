"""What the last cycle found, as one immutable value that is swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from meshwise.analytics.alerts.lifecycle import Alerts
from meshwise.analytics.service_map import ServiceMap
from meshwise.contracts.rows import AnomalyFinding, ProposalFinding, SloFinding


@dataclass(frozen=True, slots=True)
class Board:
    """Findings of the last cycle in which their stage succeeded; ``None`` and empty before the first.

    ``stages_s`` maps each stage of the last cycle to its length in seconds, ``failed`` names those that failed.
    ``held`` says by proposal id why it is not submitted.
    """

    finished_at: datetime | None = None
    loaded_at: datetime | None = None
    service_map: ServiceMap | None = None
    slos: tuple[SloFinding, ...] = ()
    alerts: Alerts = field(default_factory=dict)
    anomalies: tuple[AnomalyFinding, ...] = ()
    proposals: tuple[ProposalFinding, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    stages_s: Mapping[str, float] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
