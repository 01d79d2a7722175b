"""A real analytics process for tests, and made-up rollup rows for it to read."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from meshwise.analytics.answers import as_json
from meshwise.contracts.histogram import bucket_index
from meshwise.contracts.rows import EDGE_10S, EdgeBucket, ProposalFinding
from meshwise.store.findings import columns

_SERVE = """
import json, sys
import structlog
from meshwise.analytics.main import run
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.contracts.errors import MeshwiseError
structlog.configure(
    processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
    logger_factory=structlog.PrintLoggerFactory(sys.stderr),
)
try:
    run(AnalyticsSettings(**json.loads(sys.argv[1])))
except MeshwiseError as error:
    sys.exit(f"error: {error}")
"""


def analytics_command(**settings: Any) -> list[str]:
    """Return the command that runs analytics with ``settings``, fields of ``AnalyticsSettings``."""
    return [sys.executable, "-c", _SERVE, json.dumps(settings)]


def edge_rows(
    end: datetime,
    *,
    seconds: int,
    source: str,
    destination: str,
    outcomes: Mapping[str, tuple[int, float]],
    instance: str = "proxy-1",
    sides: tuple[str, ...] = ("client", "server"),
    retries: int = 0,
    policy_version: int = 1,
) -> list[EdgeBucket]:
    """Return rollup rows for the ``seconds`` before ``end``: per bucket and outcome a count and a latency in seconds.

    The callee never sees timeouts, as in life.
    """
    last = int(end.timestamp()) // 10 * 10
    rows = []
    for start in range(last - seconds // 10 * 10, last, 10):
        for side in sides:
            for outcome, (count, latency) in outcomes.items():
                if side == "server" and outcome == "timeout":
                    continue
                client = side == "client"
                rows.append(
                    EdgeBucket(
                        bucket=end + timedelta(seconds=start - end.timestamp()),
                        source=source,
                        destination=destination,
                        route="",
                        method="GET",
                        side=side,
                        instance=instance,
                        policy_version=policy_version,
                        outcome=outcome,
                        requests=count,
                        attempts=count + retries if client else 0,
                        retries=retries if client else 0,
                        retries_denied=0,
                        latency={bucket_index(latency): count},
                    )
                )
    return rows


def insert_buckets(client: Any, rows: Iterable[EdgeBucket]) -> None:
    """Insert rows into the finest rollup; the coarser ones follow by themselves."""
    names = columns(EdgeBucket)
    data = [[dict(v) if isinstance(v := getattr(row, name), Mapping) else v for name in names] for row in rows]
    client.insert(EDGE_10S, data, column_names=list(names))


@contextlib.contextmanager
def serving_proposals(findings: Iterable[ProposalFinding]) -> Iterator[str]:
    """Answer ``/v1/proposals`` as analytics would; yield the URL."""
    body = bytes(as_json({"computed_at": None, "proposals": list(findings), "held": {}}).body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/proposals" else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
