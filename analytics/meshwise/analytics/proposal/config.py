"""What a proposal must rest on, and how far it may go; durations in seconds, shares 0–1."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from meshwise.contracts.policy import MAX_BUDGET_PERCENT, MAX_HEDGE_PERCENT, MAX_RETRIES


class ProposalConfig(BaseModel):
    """Limits of the proposals of timeouts and retries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    block_s: float = Field(default=10.0, gt=0, description="Length of a time block of correlated attempts, in seconds.")
    min_attempts: int = Field(default=200, ge=20, description="Fewest recorded attempts a proposal may rest on.")
    min_blocks: int = Field(default=3, ge=2, description="Fewest time blocks a proposal may rest on.")
    max_interval: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description="Widest 95 % interval of success a proposal may predict; few blocks that differ widen it.",
    )
    max_age_s: float = Field(
        default=60.0, gt=0, description="Oldest the newest attempt may be at the window's end, in seconds."
    )
    max_retries: int = Field(default=2, ge=0, le=MAX_RETRIES, description="Most retries proposed.")
    budget_percent: float = Field(
        default=20.0, ge=0, le=MAX_BUDGET_PERCENT, description="Highest retry budget proposed, in percent of requests."
    )
    hedge_percent: float = Field(
        default=MAX_HEDGE_PERCENT,
        ge=0,
        le=MAX_HEDGE_PERCENT,
        description="Most hedges proposed, in percent of requests; 0 proposes none.",
    )
    min_hedge_delay_s: float = Field(default=0.005, gt=0, description="Shortest delay of a hedge proposed, in seconds.")
    max_amplification: float = Field(
        default=1.2, ge=1, description="Most attempts per request a proposal may need in the observed regime."
    )
    ceiling_share: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of the load that a callee is known to bear up to which a proposal may take it.",
    )
    min_attempt_timeout_s: float = Field(
        default=0.05, gt=0, description="Shortest attempt timeout proposed, in seconds."
    )
    safety_factor: float = Field(
        default=1.2, ge=1, description="Attempt timeouts stay above this times the slowest answers of normal times."
    )
    normal_quantile: float = Field(
        default=0.999, gt=0.5, lt=1, description="Quantile (0–1) of successful answers in normal times that must fit."
    )
    min_success_gain: float = Field(
        default=0.005, ge=0, description="Least gain in the share of successful requests worth a change."
    )
    min_p99_gain: float = Field(default=0.20, ge=0, lt=1, description="Least relative gain in p99 worth a change.")
    min_load_gain: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Least relative saving of attempts that is worth a change by itself.",
    )
    max_success_loss: float = Field(
        default=0.001, ge=0, description="Most success a change for a better p99 or less load may cost."
    )
    max_disagreement: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Most by which the counts of an edge's two ends may differ for a proposal, relative.",
    )
    max_step: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Largest relative change of a timeout or of a hedge's delay already in force.",
    )
    min_step: float = Field(
        default=0.10,
        ge=0,
        description="Smallest relative change of a timeout or of a hedge's delay worth a proposal.",
    )
    load_error_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of failures that look like overload from which retries only fall."
    )
    load_correlation: float = Field(
        default=0.5, gt=0, le=1, description="Rank correlation of failures with request rate taken as overload."
    )
    downstream_share: float = Field(
        default=0.5, gt=0, le=1, description="Share of an edge's failures explained by edges below it: retry there."
    )
    simulated_requests: int = Field(default=20_000, ge=1000, description="Requests drawn per replayed policy.")
    seed: int = Field(default=20_261, ge=0, description="Seed of the replay; equal data give equal proposals.")
