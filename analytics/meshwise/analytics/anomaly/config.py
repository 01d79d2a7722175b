"""When an edge is anomalous; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnomalyConfig(BaseModel):
    """Settings of the anomaly score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recent_buckets: int = Field(default=2, ge=1, description="Newest buckets that are judged, each and together.")
    min_baseline_buckets: int = Field(default=5, ge=3, description="Fewest earlier busy buckets to compare with.")
    min_requests: int = Field(default=5, ge=1, description="Fewest requests for a bucket to say anything.")
    busy_requests: float = Field(
        default=10.0, gt=0, description="Median requests per bucket from which silence is an anomaly."
    )
    threshold: float = Field(default=0.7, gt=0, lt=1, description="Score from which an edge is flagged.")
    suspect: float = Field(
        default=0.35, gt=0, lt=1, description="Score from which a past bucket is kept out of the baseline."
    )
    half_score_z: float = Field(
        default=3.0, gt=0, description="Standard deviations of a normal that score 0.5; 4 score 0.7 and 6 0.94."
    )
    error_floor: float = Field(default=0.005, ge=0, description="Share of failures that is always taken as usual.")
    slow_floor: float = Field(default=0.01, ge=0, description="Share of slow requests that is always taken as usual.")
    slow_factor: float = Field(default=1.5, gt=1, description="A request this times slower than the usual p95 is slow.")
    latency_floor_s: float = Field(
        default=0.005, gt=0, description="Latency differences well below this do not matter, in seconds."
    )
    latency_scale_floor: float = Field(
        default=0.2, gt=0, description="Least scale of log latency: 0.2 is 22 % from bucket to bucket."
    )
    rate_scale_floor: float = Field(
        default=0.35, gt=0, description="Least scale of log request rate: 0.35 is 42 % from bucket to bucket."
    )
    floor_buckets: float = Field(
        default=4.0, gt=0, description="How many buckets of experience a floor counts for against the measured scale."
    )
    forest_weight: float = Field(
        default=0.3, ge=0, le=1, description="How much of the rest to 1 the IsolationForest may add to a score."
    )
    forest_trees: int = Field(default=100, ge=10, description="Trees of the IsolationForest.")
    seed: int = Field(default=20_261, ge=0, description="Seed of the IsolationForest; equal data give equal scores.")
