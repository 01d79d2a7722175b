"""One shape for every error, and the one place where errors become status codes."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from meshwise.contracts.errors import DocumentError, MeshwiseError
from meshwise.control.errors import ConflictError, ForbiddenError, NotFoundError

log = structlog.get_logger(__name__)


class RefusedError(MeshwiseError):
    """A request refused before anybody looked at what it asks for."""

    def __init__(self, status: int, path: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.path = path
        self.problem = problem


def problem(status: int, path: str, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer of an error."""
    safe = {"path": _safe(path), "problem": _safe(text)}
    return JSONResponse({"error": safe}, status, headers=headers)


def add_handlers(app: FastAPI) -> None:
    """Give every error of the application its status and the one shape."""
    app.add_exception_handler(DocumentError, _document)
    app.add_exception_handler(ConflictError, _conflict)
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(ForbiddenError, _forbidden)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _query)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, _database)
    app.add_exception_handler(Exception, _unforeseen)


async def _document(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DocumentError)
    return problem(422, error.path, error.problem)


async def _conflict(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ConflictError)
    return problem(409, error.path, error.problem)


async def _forbidden(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ForbiddenError)
    return problem(403, error.path, error.problem)


async def _not_found(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotFoundError)
    return problem(404, error.path, error.problem)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return problem(error.status, error.path, error.problem)


async def _query(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, ".".join(str(part) for part in first["loc"][1:]), str(first["msg"]))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    texts = {404: f"nothing is at {request.url.path[:200]}", 405: f"{request.method} is not offered here"}
    headers = dict(error.headers) if error.headers else None
    return problem(error.status_code, "", texts.get(error.status_code, str(error.detail)), headers)


async def _database(request: Request, error: Exception) -> JSONResponse:
    log.error("database failed", path=request.url.path, error=str(getattr(error, "orig", None) or error))
    return problem(503, "", "the database does not answer; try again", {"retry-after": "1"})


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", path=request.url.path, error=repr(error))
    return problem(500, "", "control failed to answer; its log says more")


def _safe(text: str) -> str:
    return text[:2000].encode("utf-8", "replace").decode()
