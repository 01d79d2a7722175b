"""The last gate before a proposal: its rehearsal on the learned graph, against the policy in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshwise.analytics.proposal.candidates import governing
from meshwise.analytics.rehearsal.compare import Played, rehearse
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.rehearsal.learn import Learned, learn
from meshwise.analytics.rehearsal.trigger import Trigger
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.policy import Policy


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal gave, JSON-ready; ``objection`` is empty when nothing speaks against the proposal."""

    document: dict[str, Any]
    objection: str = ""


Memory = dict[tuple[EdgeKey, Policy, Policy], tuple[float, Rehearsed]]
"""Rehearsals of late, by edge and both policies, with the end of the window they were learned from (Unix seconds)."""
REMEMBERED_S: Final = 300.0
MAX_REMEMBERED: Final = 256

Gate = Callable[[Policy, Policy], Rehearsed]
"""Rehearses the policy in force (first) against a proposed one."""


def gate(
    key: AttemptKey,
    attempts: Attempts,
    world: World,
    policies: Sequence[Policy],
    config: RehearsalConfig,
    *,
    memory: Memory | None = None,
) -> Gate:
    """Return the gate of one route; the graph is learned when it is first needed.

    What was rehearsed within the last five minutes stands: ``memory`` is looked into and added to. An edge that the
    rollups do not know yet cannot be rehearsed: that is said, and stops nothing.
    """
    edge = EdgeKey(key.source, key.destination)
    learned: list[Learned] = []
    held: dict[Trigger, Played] = {}

    def run(current: Policy, proposed: Policy) -> Rehearsed:
        if not config.enabled:
            return Rehearsed({"skipped": "rehearsal is switched off"})
        asked, end = (edge, current, proposed), world.window.end.timestamp()
        if memory is not None and asked in memory and abs(end - memory[asked][0]) < REMEMBERED_S:
            return memory[asked][1]
        try:
            if not learned:
                limiting = [policy for policy in policies if policy.limit is not None]
                learned.append(
                    learn(
                        world,
                        attempts,
                        edge,
                        lambda one: governing(_key(one), policies),
                        config,
                        limiter_of=lambda one: governing(_key(one), limiting),
                    )
                )
        except ValueError as error:
            return Rehearsed({"skipped": str(error)})
        found = rehearse(
            learned[0].graph,
            edge,
            current,
            proposed,
            config,
            assumptions=learned[0].assumptions,
            held=held,
            limits_of=("slow backend",),
        )
        told = Rehearsed(found.to_document(), found.objection)
        if memory is not None:
            while len(memory) >= MAX_REMEMBERED:
                del memory[next(iter(memory))]
            memory[asked] = end, told
        return told

    return run


def _key(edge: EdgeKey) -> AttemptKey:
    return AttemptKey(edge.source, edge.destination, "")
