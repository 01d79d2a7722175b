"""A proposal made again from what it was made from, for as long as the store has that.

    noted(findings, source)       says in the evidence of each proposal what to read to make it again
    propose_again(client, rollout, policies)   reads that, proposes, and compares

Spans are kept for days and rollouts for longer, so a time comes when this cannot be done; then that is what is said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from meshwise.analytics.load import BulkClient, load_world
from meshwise.analytics.proposal.advice import propose
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.ends import load_ends
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.replay.attempts import AttemptKey, load_attempts
from meshwise.analytics.witnesses import trusted
from meshwise.analytics.world import Window, World
from meshwise.contracts.policy import Policy
from meshwise.contracts.rows import ProposalFinding

MAX_POLICIES: Final = 1_000
"""Policies in force beyond which a proposal does not name them all: about 60 KB of its evidence."""


@dataclass(frozen=True, slots=True)
class Source:
    """What proposals are made from: ``attempts`` were loaded of ``window``, and ``world`` beside them."""

    window: Window
    attempts: int
    world: World
    policies: Sequence[Policy]
    proposal: ProposalConfig
    rehearsal: RehearsalConfig

    def to_document(self) -> dict[str, Any] | None:
        """Return all that it takes to load the same again, JSON-ready; ``None`` with too many policies to name."""
        if len(self.policies) > MAX_POLICIES:
            return None
        return {
            "window": _text(self.window),
            "attempts": self.attempts,
            "world": [*_text(self.world.window), self.world.bucket_s],
            "policies": {policy.name: policy.version for policy in self.policies},
            "proposal": self.proposal.model_dump(mode="json"),
            "rehearsal": self.rehearsal.model_dump(mode="json"),
        }


@dataclass(frozen=True, slots=True)
class Again:
    """Whether the same proposal came out, ``None`` where it could not be told, and what to tell of it."""

    holds: bool | None
    text: str


def noted(findings: Iterable[ProposalFinding], source: Source) -> list[ProposalFinding]:
    """Return ``findings``, with what they were made from in the evidence of those that propose a policy."""
    document = source.to_document()
    return [
        replace(
            finding,
            evidence=json.dumps({**json.loads(finding.evidence), "made_from": document}, ensure_ascii=False),
        )
        if finding.status == "proposed"
        else finding
        for finding in findings
    ]


def propose_again(
    client: BulkClient, rollout: Mapping[str, Any], policies: Callable[[Mapping[str, int]], Sequence[Policy]]
) -> Again:
    """Make the proposal behind ``rollout``, control's document, again; ``policies`` finds policies by name and version.

    Raises:
        MeshwiseError: the store, or ``policies``, does not answer.
        ValueError: the evidence is not what ``noted`` wrote.
    """
    evidence, wanted = rollout.get("evidence"), rollout.get("proposal_id")
    made_from = evidence.get("made_from") if isinstance(evidence, Mapping) else None
    if not wanted:
        return Again(None, "no proposal: an operator began it")
    if not isinstance(made_from, Mapping):
        return Again(None, "the proposal does not say what it was made from, so it cannot be made again")
    try:
        window, then = _window(made_from["window"]), int(made_from["attempts"])
        seen, bucket_s = _window(made_from["world"][:2]), int(made_from["world"][2])
        named = {str(name): int(version) for name, version in made_from["policies"].items()}
        config = ProposalConfig.model_validate(made_from["proposal"])
        rehearsal = RehearsalConfig.model_validate(made_from["rehearsal"])
        match = rollout["policy"]["match"]
        key = AttemptKey(match["source"], match["service"], match.get("route") or "")
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"not what a proposal was made from: {error!r}") from error
    loaded = load_attempts(client, window)
    if len(loaded) < then:
        left = f"{len(loaded)} of its {then} attempts are" if len(loaded) else f"none of its {then} attempts is"
        return Again(None, f"the proposal cannot be made again: {left} still in the store, which keeps spans for days")
    attempts, _ = trusted(loaded)
    found = propose(
        attempts,
        load_world(client, seen, bucket_s),
        policies(named),
        config,
        rehearsal=rehearsal,
        ends=load_ends(client, window),
        only=key,
    )
    count = f"{len(loaded)} attempts"
    if any(finding.id == wanted and finding.status == "proposed" for finding in found):
        return Again(True, f"the proposal comes out again from {count}")
    told = found[0].sentence if found else f"nothing is known of {key.source} → {key.destination}."
    if len(loaded) > then:
        return Again(None, f"{len(loaded) - then} attempts have come in since; from all {count}: {told}")
    return Again(False, f"the same {count} give another answer now: {told}")


def _text(window: Window) -> list[str]:
    return [window.start.isoformat(), window.end.isoformat()]


def _window(bounds: Sequence[str]) -> Window:
    start, end = bounds
    return Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
