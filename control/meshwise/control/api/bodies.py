"""Reading request bodies strictly: one JSON object, of bounded size and depth, that says nothing twice."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Final, NoReturn

from fastapi import Depends, Request

from meshwise.contracts.errors import DocumentError
from meshwise.control.api.problems import RefusedError

MAX_DEPTH: Final = 32
MAX_NUMBER: Final = {bool: 1, int: 2**63 - 1, float: sys.float_info.max}


async def read_body(request: Request) -> dict[str, Any]:
    """Return the object in the request's body; an empty body is an empty object.

    Raises:
        RefusedError: 415 when it is not sent as JSON (a cross-site form cannot), 413 when it is too large, 400 when
            it is not JSON.
        DocumentError: it is JSON, but not an object, too deep, or with a key twice.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RefusedError(415, "content-type", "must be application/json")
    limit: int = request.app.state.plane.settings.body_limit_bytes
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RefusedError(413, "", f"the body is larger than {limit} bytes")
    return parse_object(bytes(body)) if body else {}


Body = Annotated[dict[str, Any], Depends(read_body)]


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``.

    Raises:
        RefusedError: 400 when it is not JSON.
        DocumentError: it is JSON that no document of ours can be.
    """
    try:
        document = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise DocumentError("", f"is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # broken UTF-8, broken JSON, a number of thousands of digits
        raise RefusedError(400, "", f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict):
        raise DocumentError("", "must be a mapping, the body is another kind of JSON")
    _check(document)
    return document


def check_size(document: object, path: str, limit: int) -> None:
    """Refuse a part of a request that is larger than ``limit`` bytes of JSON.

    Raises:
        DocumentError: naming ``path``.
    """
    if document is not None and len(json.dumps(document, ensure_ascii=False).encode()) > limit:
        raise DocumentError(path, f"is larger than {limit} bytes")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise DocumentError(key[:80], "appears twice")
        fields[key] = value
    return fields


def _no_constant(name: str) -> NoReturn:
    raise DocumentError("", f"{name} is not a number that JSON knows")


def _check(document: dict[str, Any]) -> None:
    """Refuse what later steps could not store or send: depth, lone surrogates, NUL, numbers without bounds."""
    waiting: list[tuple[str, Any, int]] = [("", document, 1)]
    while waiting:
        path, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise DocumentError(path[:200], f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key, item in value.items():
                _check_text(path, key)
                waiting.append((f"{path}.{key}" if path else key, item, depth + 1))
        elif isinstance(value, list):
            waiting += [(f"{path}[{position}]", item, depth + 1) for position, item in enumerate(value)]
        elif isinstance(value, str):
            _check_text(path, value)
        elif isinstance(value, int | float) and not abs(value) <= MAX_NUMBER[type(value)]:
            raise DocumentError(path[:200], "is too large a number")


def _check_text(path: str, text: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text if character > "\ud7ff"):
        raise DocumentError(path[:200], "contains a character that is not text (NUL or half a surrogate pair)")
