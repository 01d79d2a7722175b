"""Why a rollout went as it did, from what is stored: the proposal's evidence, each verdict, and each reached again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshwise.analytics.rollout.shadow import KIND, judge_shadow_again
from meshwise.analytics.rollout.verdict import judge_again


@dataclass(frozen=True, slots=True)
class Explained:
    """One verdict, of canaries or of the ``shadow`` before them.

    ``again`` is what the stored counts give now: the same decision, another, or empty when unstored.
    """

    at: str
    stage: int
    decision: str
    by: str
    reason: str
    again: str
    shadow: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the stored counts give the decision again; ``None`` where nothing of that kind is stored."""
        return None if not self.again else self.again == self.decision


def explain(rollout: Mapping[str, Any]) -> list[Explained]:
    """Return the verdicts on a rollout, control's document, each judged again from its own evidence."""
    return [
        Explained(
            at=str(verdict.get("at") or ""),
            stage=int(verdict.get("stage") or 0),
            decision=str(verdict.get("decision") or ""),
            by=str(verdict.get("by") or ""),
            reason=str(verdict.get("reason") or ""),
            again=_again(rollout, verdict.get("evidence")),
            shadow=verdict.get("shadow") is True,
        )
        for verdict in rollout.get("verdicts") or ()
    ]


def proposal_lines(evidence: object) -> list[str]:
    """Return what the proposal behind a rollout rested on, a line each; none when it carried no evidence."""
    if not isinstance(evidence, Mapping):
        return []
    lines = []
    window = evidence.get("window")
    if isinstance(window, Mapping) and window.get("start"):
        lines.append(f"rests on {window.get('attempts')} attempts from {window['start']} to {window.get('end')}")
    for name, title in (("current", "in force"), ("chosen", "proposed"), ("runner_up", "runner-up")):
        shown = evidence.get(name)
        replay = shown.get("replay") if isinstance(shown, Mapping) else None
        if isinstance(shown, Mapping) and isinstance(replay, Mapping):
            lines.append(f"{title:9} {_told(shown, replay)}")
    rehearsal = evidence.get("rehearsal")
    if isinstance(rehearsal, Mapping):
        lines += [
            f"rehearsed {one['trigger']}: back after {_seconds(one['proposed']['recovered_s'])}, "
            f"with the policy in force after {_seconds(one['current']['recovered_s'])}"
            for one in rehearsal.get("triggers") or ()
        ]
    lines += [f"assumes   {text}" for text in evidence.get("assumptions") or ()]
    lines += [f"would change its mind: {text}" for text in evidence.get("would_change_mind") or ()]
    return lines


def _told(shown: Mapping[str, Any], replay: Mapping[str, Any]) -> str:
    policy = shown.get("policy") or {}
    timeout, retry = policy.get("timeout") or {}, policy.get("retry") or {}
    success, p99, load = (replay.get(name) or {} for name in ("success", "p99", "attempts_per_request"))
    return (
        f"{timeout.get('attempt') or timeout.get('request')} per attempt, {retry.get('max')} retries: "
        f"{success.get('value', 0):.2%} succeed ({success.get('low', 0):.2%} to {success.get('high', 0):.2%}), "
        f"p99 {p99.get('value', 0) * 1000:.0f} ms, {load.get('value', 0):.2f} attempts per request"
    )


def _seconds(value: object) -> str:
    return f"{value:.0f} s" if isinstance(value, (int, float)) else "more time than allowed"


def _again(rollout: Mapping[str, Any], evidence: object) -> str:
    if not isinstance(evidence, Mapping) or "inputs" not in evidence:
        return ""
    try:
        shadow = evidence.get("kind") == KIND
        verdict = judge_shadow_again(evidence, rollout) if shadow else judge_again(rollout, evidence)
    except ValueError as error:
        return f"not readable: {error}"
    return "" if verdict is None else verdict.decision
