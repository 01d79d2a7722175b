"""Answers of the HTTP interface: JSON, and refusals in the house's one form."""

from __future__ import annotations

import orjson
from fastapi import Response


def as_json(document: object, status: int = 200) -> Response:
    """Return ``document``, dataclasses and times included, as an answer."""
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return Response(body, status, media_type="application/json")


def refusal(status: int, path: str, problem: str, problems: object = None) -> Response:
    """Return why a request was refused; ``problems`` lists every reason when there may be several."""
    document: dict[str, object] = {"error": {"path": path, "problem": problem}}
    return as_json(document | ({"problems": problems} if problems else {}), status)
