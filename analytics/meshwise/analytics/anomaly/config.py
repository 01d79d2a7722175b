"""When an edge is anomalous; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnomalyConfig(BaseModel):
    """Settings of the anomaly score."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recent_buckets: tuple[int, ...] = Field(
        default=(1, 2, 3, 6), min_length=1, description="Numbers of newest buckets that are judged together."
    )
    min_baseline_buckets: int = Field(default=5, ge=3, description="Fewest earlier busy buckets to compare with.")
    min_requests: int = Field(default=5, ge=1, description="Fewest requests for buckets to say anything.")
    busy_requests: float = Field(
        default=10.0, gt=0, description="Usual requests in the newest buckets from which silence is an anomaly."
    )
    reference_s: float = Field(
        default=7200.0, ge=600, description="How far back buckets tell what is usual now, in seconds."
    )
    season_days: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 7, 14, 21, 28),
        description="Days ago whose same five minutes tell what is usual at this time; a minute is kept for 29 days.",
    )
    min_season_days: int = Field(
        default=3, ge=2, description="Fewest of those days with data for the time of day to excuse anything."
    )
    threshold: float = Field(default=0.8, gt=0, lt=1, description="Score from which an edge is flagged.")
    young_threshold: float = Field(
        default=0.7,
        gt=0,
        lt=1,
        description="The same for an edge that has only minutes to be compared with, whose tails are wide for that.",
    )
    suspect: float = Field(
        default=0.35, gt=0, lt=1, description="Score from which a past bucket is kept out of the baseline."
    )
    half_score_z: float = Field(
        default=3.7, gt=0, description="Standard deviations of a normal that score 0.5; 5.6 score 0.8 and 7.4 0.94."
    )
    error_floor: float = Field(default=0.002, ge=0, description="Share of failures that is always taken as usual.")
    retries_floor: float = Field(default=0.01, ge=0, description="Share of retries that is always taken as usual.")
    slow_floor: float = Field(default=0.01, ge=0, description="Share of slow requests that is always taken as usual.")
    p95_floor: float = Field(
        default=0.075, ge=0, description="Share of requests beyond the usual p95 that is always taken as usual."
    )
    p99_floor: float = Field(
        default=0.02, ge=0, description="Share of requests beyond the usual p99 that is always taken as usual."
    )
    slow_factor: float = Field(default=1.5, gt=1, description="A request this times slower than the usual p95 is slow.")
    latency_floor_s: float = Field(
        default=0.005, gt=0, description="Latency differences well below this do not matter, in seconds."
    )
    latency_scale_floor: float = Field(
        default=0.06, gt=0, description="Least scale of the level of log latency: 0.06 is 6 % from bucket to bucket."
    )
    rate_scale_floor: float = Field(
        default=0.35, gt=0, description="Least scale of log request rate: 0.35 is 42 % from bucket to bucket."
    )
    calls_scale_floor: float = Field(
        default=0.2, gt=0, description="Least scale of log calls per request of the caller: 0.2 is 22 %."
    )
    floor_buckets: float = Field(
        default=4.0, gt=0, description="How many buckets of experience a floor counts for against the measured scale."
    )
    forest_weight: float = Field(
        default=0.3, ge=0, le=1, description="How much of the rest to 1 the IsolationForest may add to a score."
    )
    forest_trees: int = Field(default=100, ge=10, description="Trees of the IsolationForest.")
    seed: int = Field(default=20_261, ge=0, description="Seed of the IsolationForest; equal data give equal scores.")
