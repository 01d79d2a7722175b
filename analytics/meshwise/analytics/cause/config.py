"""When a node is to blame; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CauseConfig(BaseModel):
    """Settings of the ranking of causes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance_s: float = Field(
        default=600.0, ge=0, description="How wrong the incident's time may be, in seconds, either way."
    )
    longest_s: float = Field(default=900.0, gt=0, description="Longest stretch taken as the incident, in seconds.")
    near_s: float = Field(
        default=7200.0,
        gt=0,
        description="Buckets this near, in seconds, tell what is usual; farther ones how it varies.",
    )
    min_usual: int = Field(default=2, ge=1, description="Fewest buckets outside the incident to judge a node by.")
    min_history: int = Field(default=12, ge=3, description="Fewest farther buckets to measure variation by.")
    min_deviation: float = Field(
        default=4.0, gt=0, description="Robust standard deviations from which a node is surely worse than usual."
    )
    likely_deviation: float = Field(
        default=2.0,
        gt=0,
        description="Robust standard deviations from which a node passes on what a callee surely worse explains.",
    )
    min_share: float = Field(
        default=0.2, gt=0, le=1, description="Least share of the symptom's excess for which a node is blamed."
    )
    relative_floor: float = Field(
        default=0.05, gt=0, description="Least scale of latency, as a share of what is usual."
    )
    latency_floor_s: float = Field(default=0.0005, gt=0, description="Least scale of latency, in seconds.")
    error_floor: float = Field(default=0.002, gt=0, description="Least scale of the share of failures.")
