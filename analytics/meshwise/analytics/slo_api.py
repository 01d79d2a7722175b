"""The part of the HTTP interface that is about objectives.

GET    /v1/slos                            their state as of the last cycle
GET    /v1/slo/documents                   the OpenSLO documents in force
PUT    /v1/slo/documents                   {"documents": […], "dry_run": false}: all of them, or none
DELETE /v1/slo/documents/{kind}/{name}     takes one out of force

Changes are for this machine, or with the token.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from meshwise.analytics.answers import as_json, refusal
from meshwise.analytics.bodies import actor_of, is_local, read_object
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.promises import WrongDocumentsError


def add_slo_routes(app: FastAPI, settings: AnalyticsSettings, cycle: Cycle) -> None:
    """Answer questions about objectives, and take documents."""
    promises = cycle.promises

    @app.exception_handler(WrongDocumentsError)
    async def wrong_documents(_: Request, error: WrongDocumentsError) -> Response:
        first = error.problems[0]
        return refusal(400, first.path, first.problem, error.problems)

    @app.get("/v1/slos")
    async def read_slos() -> Response:
        return as_json({"computed_at": cycle.board.finished_at, "slos": cycle.board.slos})

    @app.get("/v1/slo/documents")
    async def read_documents() -> Response:
        await asyncio.to_thread(promises.refresh)
        return as_json({"documents": [_shown(row) for row in promises.rows]})

    @app.put("/v1/slo/documents")
    async def apply(request: Request) -> Response:
        if settings.token is None and not is_local(request):
            return refusal(403, "", "only this machine may change documents")
        body = await read_object(request, "documents", "dry_run")
        documents, dry_run = body.get("documents"), body.get("dry_run", False)
        if not isinstance(documents, list) or not documents:
            return refusal(400, "documents", "must be a list with a document at least")
        if not isinstance(dry_run, bool):
            return refusal(400, "dry_run", "must be true or false")
        applied = await asyncio.to_thread(
            promises.apply, documents, actor_of(request), datetime.now(UTC), dry_run=dry_run
        )
        changes = [{"kind": kind, "name": name, "change": change} for kind, name, change in applied.changes]
        return as_json({"changes": changes, "objectives": sum(len(many) for many in applied.found.objectives.values())})

    @app.delete("/v1/slo/documents/{kind}/{name:path}")
    async def remove(request: Request, kind: str, name: str) -> Response:
        if settings.token is None and not is_local(request):
            return refusal(403, "", "only this machine may change documents")
        removed = await asyncio.to_thread(promises.remove, kind, name, actor_of(request), datetime.now(UTC))
        if not removed:
            return refusal(404, f"{kind}/{name}"[:200], "is not in force; see meshwise slo list")
        return as_json({"removed": {"kind": kind, "name": name}})


def _shown(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "at": row.at,
        "actor": row.actor,
        "document": orjson.loads(row.document),
    }
