"""Probes and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from meshwise.control.api.context import Plane

router = APIRouter()


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(plane: Plane) -> Response:
    """The database answers; otherwise the error handlers say 503."""
    with plane.storage.read() as tx:
        return JSONResponse({"status": "ok", "revision": tx.revision})


@router.get("/metrics")
async def metrics(plane: Plane) -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(plane.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})
