"""The policy in force and a proposed one, side by side under the same triggers and the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.graph import Graph
from meshwise.analytics.rehearsal.recovery import BEFORE_S, Recovery, rehearse_once
from meshwise.analytics.rehearsal.trigger import KINDS, Kind, Trigger
from meshwise.contracts.policy import Policy

_LOADS = (1.0, 1.1, 1.25, 1.4, 1.6, 1.8, 2.0, 2.25, 2.5, 2.8, 3.2, 3.6, 4.0)
"""Loads tried, relative to now: the limit is known to within a step, a seventh at most."""


@dataclass(frozen=True, slots=True)
class Played:
    """One policy under one trigger: the run at the load of now, and the highest load (1 is now) with recovery.

    ``limit`` is 0 when it does not even recover at the load of now, ``None`` when it was not looked for; ``at_least``
    tells that no higher load was tried.
    """

    run: Recovery
    limit: float | None = None
    at_least: bool = False

    @property
    def recovers(self) -> bool:
        """Whether goodput was back in time at the load of now."""
        return self.run.recovered_s is not None


@dataclass(frozen=True, slots=True)
class Compared:
    """Both policies under one trigger."""

    trigger: Trigger
    current: Played
    proposed: Played


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A rehearsal of ``source → destination``. ``objection`` says why the proposal must not be, or is empty."""

    source: str
    destination: str
    compared: tuple[Compared, ...]
    objection: str
    assumptions: tuple[str, ...]

    @property
    def visits(self) -> int:
        """Requests simulated at the load of now, both policies together."""
        return sum(played.run.visits for one in self.compared for played in (one.current, one.proposed))

    def to_document(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "edge": f"{self.source} → {self.destination}",
            "triggers": [
                {
                    "trigger": one.trigger.kind,
                    "service": one.trigger.service,
                    "strength": one.trigger.strength,
                    "current": _shown(one.current),
                    "proposed": _shown(one.proposed),
                }
                for one in self.compared
            ],
            "objection": self.objection,
            "assumptions": list(self.assumptions),
            "simulated_visits": self.visits,
        }


def triggers(service: str, config: RehearsalConfig) -> tuple[Trigger, ...]:
    """Return what is rehearsed for a callee: it is slow, half of it is gone, everybody calls more, it fails."""
    strengths: tuple[tuple[Kind, str, float], ...] = (
        ("slow backend", service, config.slow_factor),
        ("lost replicas", service, config.lost_share),
        ("load spike", "", config.spike_factor),
        ("error burst", service, config.error_share),
    )
    return tuple(
        Trigger(kind, where, strength, BEFORE_S, BEFORE_S + config.trigger_s) for kind, where, strength in strengths
    )


def rehearse(
    graph: Graph,
    edge: tuple[str, str],
    current: Policy,
    proposed: Policy,
    config: RehearsalConfig,
    *,
    assumptions: Sequence[str] = (),
    held: dict[Trigger, Played] | None = None,
    limits_of: Sequence[Kind] = KINDS,
) -> Rehearsal:
    """Run both policies on ``edge`` under each trigger and say whether the proposed one makes recovery worse.

    Both are to come back to the goodput that the policy in force has before the trigger. An objection is raised only
    when it stands with other random numbers too, and ends the rehearsal. How much more load each bears is looked for
    where nothing is objected: that rests on what services are assumed to bear, so it informs and does not decide.
    ``limits_of`` names the triggers for which that is done, since it takes most of the time. ``held`` keeps what the
    policy in force gave from one proposal for the same graph to the next.
    """
    held = {} if held is None else held
    now, then = graph.with_policy(*edge, current), graph.with_policy(*edge, proposed)
    again = config.model_copy(update={"seed": config.seed + 1})
    compared: list[Compared] = []
    for trigger in triggers(edge[1], config):
        if trigger not in held:
            first = rehearse_once(now, trigger, edge, config)
            wanted = trigger.kind in limits_of
            held[trigger] = _with_limit(now, trigger, edge, config, first=first) if wanted else Played(first)
        before = held[trigger].run.before
        tried = rehearse_once(then, trigger, edge, config, usual=before)
        objection = _objection(trigger, held[trigger].run, tried, config)
        if objection and _objection(
            trigger,
            rehearse_once(now, trigger, edge, again, usual=before),
            rehearse_once(then, trigger, edge, again, usual=before),
            config,
        ):
            compared.append(Compared(trigger, held[trigger], Played(tried)))
            return Rehearsal(*edge, tuple(compared), objection, tuple(assumptions))
        compared.append(Compared(trigger, held[trigger], Played(tried)))
    for position, one in enumerate(compared):
        if proposed == current:
            compared[position] = replace(one, proposed=one.current)
        elif one.trigger.kind in limits_of:
            before = one.current.run.before
            found = _with_limit(then, one.trigger, edge, config, first=one.proposed.run, usual=before)
            compared[position] = replace(one, proposed=found)
    return Rehearsal(*edge, tuple(compared), "", tuple(assumptions))


def _with_limit(
    graph: Graph,
    trigger: Trigger,
    edge: tuple[str, str],
    config: RehearsalConfig,
    *,
    first: Recovery | None = None,
    usual: float | None = None,
) -> Played:
    run = first or rehearse_once(graph, trigger, edge, config, usual=usual)
    if run.recovered_s is None:
        return Played(run, 0.0, at_least=False)
    wanted = run.before if usual is None else usual

    def recovers(load: float) -> bool:
        return rehearse_once(graph, trigger, edge, config, load=load, usual=wanted).recovered_s is not None

    loads = [load for load in _LOADS if load <= config.max_load]
    position = _last(loads, recovers)
    return Played(run, loads[position], at_least=position == len(loads) - 1)


def _last(loads: Sequence[float], recovers: Callable[[float], bool]) -> int:
    """Bisect for the last load that recovers; the first does, and more load is taken never to help."""
    low, high = 0, len(loads)
    while high - low > 1:
        middle = (low + high) // 2
        if recovers(loads[middle]):
            low = middle
        else:
            high = middle
    return low


def _objection(trigger: Trigger, current: Recovery, proposed: Recovery, config: RehearsalConfig) -> str:
    if proposed.before < current.before - config.max_goodput_loss:
        return (
            f"before anything breaks {proposed.before:.0%} of requests would succeed, "
            f"{current.before:.0%} with the policy in force"
        )
    if current.recovered_s is None or proposed.recovered_s is not None:
        return ""
    what = f"{trigger.kind} of {trigger.service}" if trigger.service else trigger.kind
    return (
        f"the mesh would not recover within {config.recover_within_s:g} s of a {what} ({proposed.after:.0%} of "
        f"requests succeed then, at {proposed.amplification:.2f} attempts each); with the policy in force it does"
    )


def _shown(played: Played) -> dict[str, Any]:
    run = played.run
    return {
        "recovers": played.recovers,
        "recovered_s": run.recovered_s,
        "goodput_before": round(run.before, 4),
        "goodput_during": round(run.during, 4),
        "goodput_after": round(run.after, 4),
        "attempts_per_call": round(run.amplification, 4),
        "recovers_up_to_load": played.limit,
        "no_limit_found": played.at_least,
    }
