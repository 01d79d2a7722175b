"""JSON over HTTP to the demo's own processes, without holding up the event loop."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from meshwise.contracts.errors import MeshwiseError, UnavailableError

TIMEOUT_S = 30.0


class RefusedError(MeshwiseError):
    """The other side answered with an error; ``status`` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def ask(url: str, *, method: str = "GET", document: object = None) -> Any:
    """Return the JSON at ``url``; with a ``document`` it is sent along.

    Raises:
        RefusedError: an answer of 400 or above.
        UnavailableError: no answer.
    """
    raw = await asyncio.to_thread(_send, url, method, document)
    return json.loads(raw) if raw else None


async def ask_lines(url: str) -> list[Any]:
    """Return the JSON objects at ``url``, one per line; raises as ``ask`` does."""
    raw = await asyncio.to_thread(_send, url, "GET", None)
    return [json.loads(line) for line in raw.splitlines()]


def _send(url: str, method: str, document: object) -> bytes:
    body = None if document is None else json.dumps(document).encode()
    headers = {"content-type": "application/json", "x-meshwise-actor": "demo"}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - our own addresses
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            raw: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()[:500].decode(errors="replace")
        raise RefusedError(error.code, f"{method} {url} was answered {error.code}: {text}") from None
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{method} {url} was not answered: {error}") from None
    return raw
