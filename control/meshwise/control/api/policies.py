"""Routes of the policies: what is in force, its history, put, delete, undo, and the schema."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from meshwise.contracts.policy import Policy
from meshwise.contracts.reading import Reader
from meshwise.control import admission, policies
from meshwise.control.api.answers import policy_answer, version_answer
from meshwise.control.api.bodies import Body, check_size
from meshwise.control.api.context import Actor, Plane, take_mapping, take_reason
from meshwise.control.errors import NotFoundError
from meshwise.control.transactions import Writing

router = APIRouter(prefix="/v1")

NONE_YET = 0
"""``base_version`` of a change that expects no policy of the name in force."""


@router.get("/policies")
def list_policies(plane: Plane) -> dict[str, Any]:
    """Return every policy in force."""
    with plane.storage.read() as tx:
        return {"policies": [policy_answer(version) for version in tx.policies_in_force()]}


@router.get("/policies/{name}")
def get_policy(plane: Plane, name: str) -> dict[str, Any]:
    """Return one policy in force."""
    with plane.storage.read() as tx:
        found = tx.policy_in_force(name)
    if found is None:
        raise NotFoundError("name", f"no policy {name[:80]!r} is in force")
    return policy_answer(found)


@router.get("/policies/{name}/versions")
def list_versions(plane: Plane, name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """Return a policy's history, newest first."""
    with plane.storage.read() as tx:
        versions = tx.policy_versions(name, limit)
    if not versions:
        raise NotFoundError("name", f"there is no policy {name[:80]!r}")
    return {"versions": [version_answer(version) for version in versions]}


@router.put("/policies/{name}")
def put_policy(plane: Plane, name: str, actor: Actor, body: Body) -> dict[str, Any]:
    """Put a policy in force everywhere at once."""
    reader = Reader(body)
    document, evidence, reason = reader.take("policy"), take_mapping(reader, "evidence"), take_reason(reader)
    base = reader.take_count("base_version", NONE_YET, 0, 2**53) if reader.has("base_version") else None
    reader.take("base_version")
    reader.finish()
    check_size(document, "", plane.settings.document_limit_bytes)
    check_size(evidence, "evidence", plane.settings.document_limit_bytes)
    policy = admission.admit(document, name)

    def work(tx: Writing) -> Policy:
        return policies.put(
            tx,
            policy,
            reason=reason,
            evidence=evidence,
            base_version=base,
            max_policies=plane.settings.max_policies,
            now=plane.clock(),
            by=actor,
        )

    return {"policy": plane.change(actor, "policy.put", name, work).to_document()}


@router.delete("/policies/{name}", status_code=204)
def delete_policy(plane: Plane, name: str, actor: Actor, reason: Annotated[str, Query(max_length=2000)] = "") -> None:
    """Take a policy out of force."""
    plane.change(
        actor,
        "policy.delete",
        name,
        lambda tx: policies.remove(tx, name, reason=reason, now=plane.clock(), by=actor),
    )


@router.post("/policies/{name}/undo")
def undo_policy(plane: Plane, name: str, actor: Actor, body: Body) -> dict[str, Any]:
    """Put back what was in force before; ``policy`` is null when that was nothing."""
    reader = Reader(body)
    reason = take_reason(reader)
    reader.finish()
    restored = plane.change(
        actor,
        "policy.undo",
        name,
        lambda tx: policies.undo(tx, name, reason=reason, now=plane.clock(), by=actor),
    )
    return {"policy": None if restored is None else restored.to_document()}


@router.get("/policy.schema.json")
def policy_schema() -> Response:
    """Return the JSON Schema of policy documents."""
    body = resources.files("meshwise.contracts").joinpath("policy.schema.json").read_bytes()
    return Response(body, media_type="application/schema+json")
