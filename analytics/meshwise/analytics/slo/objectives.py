"""Which objectives a service has: those of its documents, else the defaults, overridden per service by settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from meshwise.contracts.slo import BurnRule, Objective, can_fire


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


def all_objectives(
    documents: Mapping[str, tuple[Objective, ...]],
    services: Iterable[str],
    defaults: ObjectiveDefaults,
    overrides: Mapping[str, ObjectiveOverride],
) -> tuple[Objective, ...]:
    """Return every objective of the mesh; a service that ``documents`` speak for has no other ones.

    ``documents`` maps the name of each SLO document to what it promises.
    """
    written = [one for name in sorted(documents) for one in documents[name]]
    spoken_for = {one.service for one in written}
    return (*objectives_for(set(services) - spoken_for, defaults, overrides), *written)


def dead_rules(objective: Objective) -> tuple[BurnRule, ...]:
    """Return the built-in rules that can never fire: with every request bad the budget burns no faster than factor."""
    return tuple(rule for rule in objective.scaled_rules if not can_fire(rule, objective.highest_burn))
