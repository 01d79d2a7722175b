"""Routes of oversight: the audit trail and the freeze."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader
from meshwise.control import policies
from meshwise.control.api.answers import audit_answer, freeze_answer
from meshwise.control.api.bodies import Body
from meshwise.control.api.context import Actor, Plane, take_reason

router = APIRouter(prefix="/v1")


@router.get("/audit")
def list_audit(plane: Plane, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> dict[str, Any]:
    """Return what was done and by whom, newest first."""
    with plane.storage.read() as tx:
        return {"entries": [audit_answer(entry) for entry in tx.audit_entries(limit)]}


@router.get("/freeze")
def get_freeze(plane: Plane) -> dict[str, Any]:
    """Tell whether changes are forbidden."""
    with plane.storage.read() as tx:
        return freeze_answer(tx.freeze)


@router.post("/freeze")
def set_freeze(plane: Plane, actor: Actor, body: Body) -> dict[str, Any]:
    """Forbid or allow changes."""
    reader = Reader(body)
    if not reader.has("frozen"):
        raise DocumentError("frozen", "is required: true or false")
    frozen, reason = reader.take_flag("frozen", False), take_reason(reader)
    reader.finish()
    with plane.storage.write() as tx:
        return freeze_answer(policies.freeze(tx, frozen, reason=reason, now=plane.clock(), by=actor))
