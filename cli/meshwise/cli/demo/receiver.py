"""The webhook receiver of the demo: a real HTTP server that checks each signature and keeps what it got."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_BODY_BYTES = 1 << 20
MAX_KEPT = 1000
MAX_AGE_S = 300.0
"""Older timestamps are refused. source: Standard Webhooks, "Verifying signatures"."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One document that arrived. ``received_at`` is Unix seconds."""

    id: str
    received_at: float
    signed: bool
    document: dict[str, Any]


class Receiver:
    """Listens on ``port`` of 127.0.0.1 from ``start`` to ``stop``; answers 204, or 401 to a wrong signature."""

    def __init__(self, port: int) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self._port = port
        self._lock = threading.Lock()
        self._deliveries: list[Delivery] = []
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where alerts are to be posted."""
        return f"http://127.0.0.1:{self._port}/alerts"

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What arrived so far, oldest first."""
        with self._lock:
            return tuple(self._deliveries)

    def start(self) -> None:
        """Begin to listen, in threads of its own."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10.0

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                if not 0 < length <= MAX_BODY_BYTES:
                    self.send_error(413)
                    return
                body = self.rfile.read(length)
                status = receiver.take(body, dict(self.headers.items()), time.time())
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def take(self, body: bytes, headers: dict[str, str], now: float) -> int:
        """Judge and keep one delivery; return the status to answer with."""
        fields = {name.lower(): value for name, value in headers.items()}
        signed = is_signed(body, fields, self.secret, now)
        try:
            document = json.loads(body)
        except ValueError:
            return 400
        with self._lock:
            if len(self._deliveries) < MAX_KEPT:
                self._deliveries.append(Delivery(fields.get("webhook-id", ""), now, signed, document))
        return 204 if signed else 401

    def stop(self) -> None:
        """Stop listening; safe at any time."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def is_signed(body: bytes, fields: dict[str, str], secret: str, now: float) -> bool:
    """Tell whether ``body`` carries a fresh signature made with ``secret`` (Standard Webhooks, HMAC-SHA256).

    ``fields`` are the headers by lower-case name; ``now`` is Unix seconds.
    """
    stamp = fields.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now - int(stamp)) > MAX_AGE_S:
        return False
    signed = f"{fields.get('webhook-id', '')}.{stamp}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.removeprefix("v1,") for part in fields.get("webhook-signature", "").split() if part[:3] == "v1,"]
    return any(hmac.compare_digest(wanted, one) for one in given)
