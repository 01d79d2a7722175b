"""The client that a service calls the others with: plain HTTP through the proxy beside it, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from examples.shop.counters import Counters

TRACE_HEADERS = ("traceparent", "tracestate", "baggage")
CALL_TIMEOUT_S = 60.0
"""Far above every policy, so that it is the proxy that decides when a call has taken too long."""


class CallError(Exception):
    """A call to another service was not answered, or answered with a 5xx status."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of an answered call."""

    status: int
    body: Any


class Caller:
    """Calls other services as ``http://<service>/…`` through the HTTP proxy at ``mesh``."""

    def __init__(self, session: aiohttp.ClientSession, mesh: str, counters: Counters) -> None:
        self._session = session
        self._mesh = mesh
        self._counters = counters

    async def call(
        self,
        destination: str,
        method: str,
        path: str,
        *,
        trace: Mapping[str, str],
        body: object = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Make one call; ``trace`` are the headers of the request it is made for.

        Raises:
            CallError: no answer, or a 5xx answer.
        """
        headers = {name: trace[name] for name in TRACE_HEADERS if name in trace}
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        ok = False
        try:
            async with self._session.request(
                method, f"http://{destination}{path}", json=body, headers=headers, proxy=self._mesh
            ) as response:
                raw = await response.read()
                ok = response.status < 500
                if not ok:
                    raise CallError(f"{destination} answered {response.status}")
                return Answer(response.status, await response.json() if raw else None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CallError(f"{destination} did not answer: {type(error).__name__}") from error
        finally:
            self._counters.count_call(destination, ok=ok)


def open_session() -> aiohttp.ClientSession:
    """Return the connection pool of one service.

    Idle connections are given up after 10 s, well before a proxy closes them, so that no request is sent into a
    connection that is just being closed.
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10.0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S))
