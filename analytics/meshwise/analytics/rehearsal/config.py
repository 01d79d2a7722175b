"""How a rehearsal is run and read; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RehearsalConfig(BaseModel):
    """Settings of the rehearsals of proposed policies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(default=True, description="Rehearse every policy before it is proposed.")
    headroom: float = Field(
        default=1.5,
        gt=1,
        description="Load that a service never seen near its limit is taken to bear, relative to its busy times.",
    )
    trigger_s: float = Field(default=10.0, gt=0, description="How long a trigger lasts, in seconds.")
    slow_factor: float = Field(default=3.0, gt=1, description="How much slower the callee works in a slow backend.")
    lost_share: float = Field(default=0.5, gt=0, le=1, description="Share of the callee's replicas that are lost.")
    spike_factor: float = Field(default=2.0, gt=1, description="Factor on everything that enters in a load spike.")
    error_share: float = Field(default=0.6, gt=0, le=1, description="Share of quick errors in an error burst.")
    recover_within_s: float = Field(
        default=30.0, gt=0, description="Time after a trigger's end in which goodput must be back, in seconds."
    )
    recovered_share: float = Field(
        default=0.95, gt=0, le=1, description="Share of the goodput before the trigger that counts as recovered."
    )
    max_load: float = Field(
        default=2.5, ge=1, description="Highest load tried when looking for where recovery stops, relative to now."
    )
    max_goodput_loss: float = Field(
        default=0.02, ge=0, lt=1, description="Most goodput a proposal may lose before anything breaks."
    )
    max_visits_per_s: float = Field(
        default=400.0,
        gt=0,
        description="Requests per simulated second, at all services, above which the mesh is made smaller.",
    )
    seed: int = Field(default=20_262, ge=0, description="Seed of the simulation; equal data give equal rehearsals.")
