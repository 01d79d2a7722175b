"""Which objectives a service has: the defaults, overridden per service by settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from meshwise.contracts.slo import BURN_RULES, BurnRule, Objective


class ObjectiveDefaults(BaseModel):
    """What every called service promises unless it is named in ``objectives``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    availability_target: float = Field(
        default=0.99, gt=0, lt=1, description="Share (0–1) of requests that must succeed."
    )
    latency_target: float = Field(default=0.95, gt=0, lt=1, description="Share (0–1) that must succeed in time.")
    latency_threshold_s: float = Field(default=0.5, gt=0, description="What is in time, in seconds.")
    window_s: float = Field(
        default=30 * 86_400.0, ge=3600, description="Rolling window of both objectives, in seconds."
    )


class ObjectiveOverride(BaseModel):
    """What one service promises instead; a field left out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    availability_target: float | None = Field(default=None, gt=0, lt=1, description="Share (0–1) that must succeed.")
    latency_target: float | None = Field(default=None, gt=0, lt=1, description="Share (0–1) that must succeed in time.")
    latency_threshold_s: float | None = Field(default=None, gt=0, description="What is in time, in seconds.")
    window_s: float | None = Field(default=None, ge=3600, description="Rolling window of both objectives, in seconds.")


def objectives_for(
    services: Iterable[str], defaults: ObjectiveDefaults, overrides: Mapping[str, ObjectiveOverride]
) -> tuple[Objective, ...]:
    """Return one availability and one latency objective per service, in order of its name."""
    objectives: list[Objective] = []
    for service in sorted(set(services)):
        override = overrides.get(service)
        chosen = defaults.model_copy(update=override.model_dump(exclude_none=True) if override else {})
        objectives += (
            Objective(service, "availability", chosen.availability_target, chosen.window_s),
            Objective(service, "latency", chosen.latency_target, chosen.window_s, chosen.latency_threshold_s),
        )
    return tuple(objectives)


def dead_rules(objective: Objective) -> tuple[BurnRule, ...]:
    """Return the rules that can never fire: even with every request bad, the budget burns no faster than factor."""
    return tuple(rule for rule in BURN_RULES if rule.factor * objective.budget >= 1.0)
