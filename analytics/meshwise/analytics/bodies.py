"""Reading a request's body strictly, and whom it comes from."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Final, NoReturn

from fastapi import Request
from starlette.exceptions import HTTPException

LIMIT_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 32


async def read_object(request: Request, *known: str) -> dict[str, Any]:
    """Return the JSON object in a request's body, which may have the fields ``known``; an empty body is an empty one.

    Raises:
        HTTPException: 415 when it is not sent as JSON (a form of another site cannot), 413 when it is too large, 400
            when it is not JSON, not an object, too deep, or has an unknown or a doubled field.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException(415, "content-type must be application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT_BYTES:
            raise HTTPException(413, f"the body is larger than {LIMIT_BYTES} bytes")
    try:
        document = json.loads(bytes(body).decode() or "{}", object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise HTTPException(400, f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise HTTPException(400, "the body must be a JSON object")
    if _depth(document) > MAX_DEPTH:
        raise HTTPException(400, f"the body is nested deeper than {MAX_DEPTH} levels")
    for field in document:
        if field not in known:
            raise HTTPException(400, f"{field[:80]!r} is not a known field; known are: {', '.join(known)}")
    return document


def actor_of(request: Request) -> str:
    """Return who says to send the request, for the record; nobody proves it here."""
    name = request.headers.get("x-meshwise-actor", "")
    return name if name.isascii() and name.isprintable() and 0 < len(name) <= 64 else "unknown"


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _depth(value: Any) -> int:
    depth, layer = 0, [value]
    while layer and depth <= MAX_DEPTH:
        depth += 1
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a field is given twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
