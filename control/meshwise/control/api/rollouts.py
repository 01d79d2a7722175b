"""Routes of the rollouts: begin, list, judge, approve, roll back."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader
from meshwise.control import admission, trials
from meshwise.control.api.answers import rollout_answer
from meshwise.control.api.bodies import Body, check_size
from meshwise.control.api.context import Actor, Plane, take_mapping, take_reason
from meshwise.control.rollouts import MAX_STAGES, Decision, Mode, Plan, State, Verdict

router = APIRouter(prefix="/v1/rollouts")


@router.get("")
def list_rollouts(
    plane: Plane,
    state: Annotated[list[State] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Return rollouts, newest first, all or those in some states."""
    with plane.storage.read() as tx:
        return {"rollouts": [rollout_answer(rollout) for rollout in tx.rollouts(state or (), limit)]}


@router.get("/{rollout_id}")
def get_rollout(plane: Plane, rollout_id: str) -> dict[str, Any]:
    """Return one rollout."""
    with plane.storage.read() as tx:
        return rollout_answer(trials.find(tx, rollout_id))


@router.post("", status_code=201)
def begin(plane: Plane, actor: Actor, body: Body) -> dict[str, Any]:
    """Begin to try a policy on a share of the proxies."""
    reader = Reader(body)
    document, evidence, reason = reader.take("policy"), take_mapping(reader, "evidence"), take_reason(reader)
    proposal_id = reader.take_text("proposal_id") if reader.has("proposal_id") else None
    reader.take("proposal_id")
    plan = _plan(reader)
    reader.finish()
    check_size(document, "", plane.settings.document_limit_bytes)
    check_size(evidence, "evidence", plane.settings.document_limit_bytes)
    request = trials.RolloutRequest(admission.admit(document), plan, reason, evidence, proposal_id)
    rollout_id = f"ro-{secrets.token_hex(8)}"
    rollout = plane.change(
        actor,
        "rollout.begin",
        request.policy.name,
        lambda tx: trials.begin(tx, request, rollout_id, plane.clock(), actor),
    )
    return rollout_answer(rollout)


@router.post("/{rollout_id}/verdicts")
def judge(plane: Plane, rollout_id: str, actor: Actor, body: Body) -> dict[str, Any]:
    """Act on a verdict about the current stage."""
    reader = Reader(body)
    if not reader.has("stage"):
        raise DocumentError("stage", "is required")
    verdict = Verdict(
        at=plane.clock(),
        stage=reader.take_count("stage", 0, 0, MAX_STAGES),
        decision=_one_of(reader, "decision", get_args(Decision)),
        reason=take_reason(reader),
        evidence=take_mapping(reader, "evidence"),
        by=actor,
        shadow=reader.take_flag("shadow", False),
    )
    reader.finish()
    check_size(verdict.evidence, "evidence", plane.settings.document_limit_bytes)
    work = plane.change(actor, "rollout.verdict", rollout_id, lambda tx: trials.judge(tx, rollout_id, verdict))
    return rollout_answer(work)


@router.post("/{rollout_id}/approve")
def approve(plane: Plane, rollout_id: str, actor: Actor, body: Body) -> dict[str, Any]:
    """Start a waiting rollout, give one in shadow its canaries, or promote one that has them."""
    reason = _reason_only(body)
    return rollout_answer(
        plane.change(
            actor,
            "rollout.approve",
            rollout_id,
            lambda tx: trials.approve(tx, rollout_id, plane.clock(), actor, reason),
        )
    )


@router.post("/{rollout_id}/rollback")
def roll_back(plane: Plane, rollout_id: str, actor: Actor, body: Body) -> dict[str, Any]:
    """Take the candidate away at once."""
    reason = _reason_only(body)
    return rollout_answer(
        plane.change(
            actor,
            "rollout.rollback",
            rollout_id,
            lambda tx: trials.roll_back(tx, rollout_id, plane.clock(), actor, reason),
        )
    )


def _plan(reader: Reader) -> Plan:
    default = Plan()
    stages = reader.take_list("stages")
    if stages is not None and any(isinstance(item, bool) or not isinstance(item, int) for item in stages):
        raise DocumentError("stages", "must be whole percentages such as [25, 100]")
    return Plan(
        stages=default.stages if stages is None else tuple(item for item in stages if isinstance(item, int)),
        mode=_one_of(reader, "mode", get_args(Mode)) if reader.has("mode") else _absent(reader, "mode", default.mode),
        max_duration_s=reader.take_number("max_duration_s", default.max_duration_s, 1.0, 86_400.0),
        shadow=reader.take_flag("shadow", default.shadow),
    )


def _absent(reader: Reader, key: str, default: Mode) -> Mode:
    reader.take(key)
    return default


def _one_of(reader: Reader, key: str, choices: tuple[Any, ...]) -> Any:
    text = reader.take_text(key)
    if text not in choices:
        raise DocumentError(key, f"{text[:40]!r} is not one of {', '.join(choices)}")
    return text


def _reason_only(body: dict[str, Any]) -> str:
    reader = Reader(body)
    reason = take_reason(reader)
    reader.finish()
    return reason
