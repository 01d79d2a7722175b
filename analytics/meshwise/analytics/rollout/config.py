"""When a canary is good enough, and when it is not; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RolloutConfig(BaseModel):
    """Limits of the judge of rollouts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settle_s: float = Field(
        default=3.0, ge=0, description="How long after a block's end its telemetry is awaited, in seconds."
    )
    slow_threshold_s: float = Field(
        default=0.5,
        gt=0,
        description="A success slower than this is not in time where neither an objective nor the "
        "route's usual latency tells, in seconds.",
    )
    usual_factor: float = Field(
        default=3.0, ge=1, description="What is in time on a route, as a multiple of what 95 % of its successes took."
    )
    least_threshold_s: float = Field(
        default=0.1, gt=0, description="A success within this is in time on any route without an objective, in seconds."
    )
    harm_alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="Chance of ever calling an equal policy worse, per test and rollout."
    )
    promote_alpha: float = Field(
        default=0.025, gt=0, lt=0.5, description="Chance of ever promoting a policy that is worse than the margin."
    )
    margin: float = Field(
        default=0.005, gt=0, lt=0.5, description="Loss in the share of good requests that still counts as not worse."
    )
    timely_margin: float = Field(
        default=0.02, gt=0, lt=0.5, description="Loss in the share of good requests in time that counts as not worse."
    )
    min_requests: int = Field(
        default=300, ge=1, description="Fewest requests per arm before a policy that is not surely better is promoted."
    )
    min_better_requests: int = Field(
        default=100, ge=1, description="The same for one that is better by the whole of its always-valid interval."
    )
    min_blocks: int = Field(default=3, ge=2, description="Fewest 10-second blocks before a stage is passed.")
    fast_points: float = Field(
        default=0.03, gt=0, lt=1, description="Loss in the share of good requests that ends a rollout at once."
    )
    fast_errors: float = Field(
        default=3.5, gt=0, description="Standard errors that the fast path wants between the arms."
    )
    fast_min_requests: int = Field(
        default=100, ge=1, description="Fewest requests per arm before a rollout can be judged harmful."
    )
    widen_min_requests: int = Field(
        default=10,
        ge=1,
        description="Fewest requests of canaries in any stage before it is passed, and in all before gross harm.",
    )
    widen_per_percent: float = Field(
        default=2.0,
        ge=0,
        description="Requests of canaries that a stage must have had before it is passed, per percent of its share.",
    )
    widen_alpha: float = Field(
        default=0.07,
        gt=0,
        lt=0.5,
        description="A stage of 5 percent that leads to a wider one is held while chance explains its failures less "
        "often; a stage of 20 percent up to four times as often.",
    )
    gross_points: float = Field(
        default=0.1, gt=0, lt=1, description="Loss in the share of good requests that counts as gross harm."
    )
    gross_alpha: float = Field(
        default=1e-4, gt=0, lt=0.5, description="Gross harm ends a rollout when chance explains it less often."
    )
    load_ceiling: float = Field(
        default=1.2, ge=1, description="Most attempts per request of canaries, relative to their control group."
    )
    budget_ceiling: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Nothing advances while canaries' retry budgets refuse a larger share of the retries they want, "
        "and their control group's do not.",
    )
    budget_min_retries: int = Field(
        default=30, ge=1, description="Fewest retries wanted, made or refused, before a retry budget is judged."
    )
    missing_blocks: int = Field(
        default=2, ge=1, description="Blocks without data from a canary, while control has traffic, that count as harm."
    )
    missing_min_requests: float = Field(
        default=10.0, gt=0, description="Requests a silent canary must have been due in those blocks."
    )
    earlier_s: float = Field(
        default=30.0,
        ge=10,
        description="Window before the stage that tells whether the control group has fallen since, in seconds.",
    )
    incident_points: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Loss of good requests of the control group since before the stage that freezes a rollout.",
    )
    max_disagreement: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Most by which the counts of an edge's two ends may differ when a stage is passed, relative.",
    )
    shadow_min_attempts: int = Field(
        default=50, ge=1, description="Fewest attempts judged in shadow before the canary begins."
    )
    shadow_max_s: float = Field(
        default=60.0, gt=0, description="Longest shadow stage, in seconds; what it has not found out the canary will."
    )
    shadow_points: float = Field(
        default=0.02, gt=0, lt=1, description="Loss in the share of good attempts that shadow must rule out."
    )
    before_s: float = Field(
        default=120.0,
        ge=10,
        description="Window before the stage to compare with when there is no control, in seconds.",
    )
