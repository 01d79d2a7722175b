"""The part of the HTTP interface that is about objectives.

GET    /v1/slos                            their state as of the last cycle
GET    /v1/slo/documents                   the OpenSLO documents in force
PUT    /v1/slo/documents                   {"documents": […], "dry_run": false}: all of them, or none
DELETE /v1/slo/documents/{kind}/{name}     takes one out of force
GET    /v1/slo/suggestions?days=28&service=  what services could promise
POST   /v1/slo/backtest                    {"documents": […], "days": 28, "incidents": […]}: which alerts would have
                                           fired; without documents, of all objectives

Changes are for this machine, or with the token.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response

from meshwise.analytics.answers import as_json, refusal
from meshwise.analytics.bodies import actor_of, is_local, read_object
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.load import Client
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.inquiry import read_incidents, run_backtest
from meshwise.analytics.slo.promises import WrongDocumentsError
from meshwise.analytics.slo.suggest import document_of, suggest
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.slo import Objective


def add_slo_routes(app: FastAPI, settings: AnalyticsSettings, cycle: Cycle, reader: Client) -> None:
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

    @app.get("/v1/slo/suggestions")
    async def read_suggestions(
        days: Annotated[float, Query(ge=1, le=366, allow_inf_nan=False)] = 28.0,
        service: Annotated[str, Query(max_length=10_000)] = "",
    ) -> Response:
        end = datetime.now(UTC)
        waits = cycle.slos.ledger.waits
        found = await asyncio.to_thread(suggest, reader, end - timedelta(days=days), end, waits, service)
        suggestions = [asdict(one) | {"document": document_of(one)} for one in found.suggestions]
        answer = {"start": found.start, "end": found.end, "refused": found.refused, "suggestions": suggestions}
        return as_json(answer)

    @app.post("/v1/slo/backtest")
    async def test_the_past(request: Request) -> Response:
        body = await read_object(request, "documents", "days", "incidents")
        days = body.get("days", 28)
        if isinstance(days, bool) or not isinstance(days, int | float):
            return refusal(400, "days", "must be a number")
        try:
            incidents = read_incidents(body.get("incidents", []))
            objectives = await asyncio.to_thread(_objectives, cycle, body.get("documents"))
            found = await asyncio.to_thread(
                run_backtest,
                reader,
                objectives,
                incidents,
                end=datetime.now(UTC),
                days=float(days),
                waits=cycle.slos.ledger.waits,
                min_bad=settings.slo_min_bad_requests,
                for_s=settings.alert_for_s,
                keep_s=settings.alert_keep_s,
            )
        except DocumentError as error:
            return refusal(400, error.path, error.problem)
        return as_json(found)


def _objectives(cycle: Cycle, documents: object) -> tuple[Objective, ...]:
    """Return what ``documents`` promise beside those in force, or every objective of the mesh when there are none.

    Raises:
        DocumentError, WrongDocumentsError: they are wrong.
    """
    if documents is None:
        return cycle.slos.objectives
    if not isinstance(documents, list):
        raise DocumentError("documents", "must be a list")
    return cycle.promises.objectives_of(documents)


def _shown(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "name": row.name,
        "at": row.at,
        "actor": row.actor,
        "document": orjson.loads(row.document),
    }
