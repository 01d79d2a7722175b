"""The proxy's administration listener: health, metrics, state, drain.

It shares the event loop with the traffic, so its pages are quick, its heads and connections bounded. Bind it to
loopback unless a probe must reach it: it asks for no credentials.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Protocol, cast

import httptools
import orjson
import structlog

from meshwise.contracts.errors import ConfigError
from meshwise.proxy.telemetry.exposition import (
    CONTENT_TYPE,
    Family,
    process_families,
    recorder_families,
    render,
    stats_families,
)
from meshwise.proxy.telemetry.recorder import RingRecorder

MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODY_BYTES: Final = 64 * 1024
MAX_CONNECTIONS: Final = 64
IDLE_S: Final = 60.0
"""A connection that sends nothing for so long is closed."""

log = structlog.get_logger(__name__)


class AdminView(Protocol):
    """What the administration pages show; every call is quick and does not block."""

    def ready(self) -> list[str]:
        """Return the reasons why the proxy is not ready; empty when it is."""

    def config_dump(self) -> Mapping[str, Any]:
        """Return settings and the snapshot in force, without secrets."""

    def clusters(self) -> Mapping[str, Any]:
        """Return clusters with their endpoints' state (ejected and why, active requests)."""

    def stats(self) -> Mapping[str, Any]:
        """Return numbers by name; numeric ones (also nested) appear in ``/metrics`` as ``meshwise_proxy_<name>``."""

    def drain(self) -> None:
        """Begin to drain; returns at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    allow: str = ""


class AdminPages:
    """Method, path and query in, reply out; no sockets."""

    def __init__(self, view: AdminView, recorder: RingRecorder | None = None) -> None:
        self._view = view
        self._recorder = recorder
        self._pages: dict[str, tuple[str, Callable[[str], Reply]]] = {
            "/livez": ("GET", lambda _: _text(200, "ok")),
            "/readyz": ("GET", self._ready),
            "/metrics": ("GET", self._metrics),
            "/config_dump": ("GET", lambda _: _json(view.config_dump())),
            "/clusters": ("GET", lambda _: _json(view.clusters())),
            "/stats": ("GET", lambda _: _json(view.stats())),
            "/drain": ("POST", self._drain),
        }

    def reply(self, method: str, target: str, *, from_page: bool = False) -> Reply:
        """Answer one request; ``from_page`` says that a browser sent it from some web page (an Origin header)."""
        path, _, query = target.partition("?")
        page = self._pages.get(path)
        if page is None:
            known = "\n".join(f"{wanted} {name}" for name, (wanted, _) in self._pages.items())
            return _text(404, f"no page {path[:200]!r}; there are:\n{known}")
        wanted, answer = page
        allowed = ("GET", "HEAD") if wanted == "GET" else (wanted,)
        if method not in allowed:
            return Reply(405, f"{path} takes {wanted}\n".encode(), allow=", ".join(allowed))
        if wanted == "POST" and from_page:
            # No page of ours posts here; a foreign page must not drain a proxy through somebody's browser.
            return _text(403, "requests from web pages are refused")
        try:
            return answer(query)
        except Exception:
            log.exception("administration page failed", path=path)
            return _text(503, "this page failed; see the log")

    def _ready(self, query: str) -> Reply:
        reasons = self._view.ready()
        status = 503 if reasons else 200
        verdict = "readyz check failed" if reasons else "ok"
        if "verbose" in query.split("&") or any(part.startswith("verbose=") for part in query.split("&")):
            return _text(status, "\n".join([*(f"[-] {reason}" for reason in reasons), verdict]))
        return _text(status, verdict)

    def _metrics(self, _: str) -> Reply:
        mine: Iterator[Family] = recorder_families(self._recorder) if self._recorder is not None else iter(())
        text = render(chain(mine, stats_families(self._view.stats()), process_families()))
        return Reply(200, text.encode(), CONTENT_TYPE)

    def _drain(self, _: str) -> Reply:
        self._view.drain()
        return _text(202, "draining")


class AdminServer:
    """Serves the pages on ``host``:``port``; ``recorder`` adds its counters to ``/metrics``."""

    def __init__(self, host: str, port: int, view: AdminView, *, recorder: RingRecorder | None = None) -> None:
        self._host = host
        self._port = port
        self._pages = AdminPages(view, recorder)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> int:
        """Listen and return the port bound.

        Raises:
            ConfigError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self._pages, self._connections), self._host, self._port
            )
        except OSError as error:
            where = f"{self._host}:{self._port}"
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"the admin address {where} is in use; stop the other process or set another port"
                ) from None
            raise ConfigError(f"the admin address {where} cannot be bound: {error.strerror or error}") from None
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.close()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, answered as they complete."""

    def __init__(self, pages: AdminPages, connections: set[_Connection]) -> None:
        self._pages = pages
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._from_page = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._head_done = False

    def close(self) -> None:
        """Close after what is written."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse one too many."""
        self._transport = cast("asyncio.Transport", transport)
        if len(self._connections) >= MAX_CONNECTIONS:
            self._send(_text(503, "too many connections"), keep=False)
            return
        self._connections.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the bounds."""
        if self._transport is None or self._transport.is_closing():
            return
        self._watch()
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES + MAX_BODY_BYTES:
                self._send(_text(431, "the head is too large"), keep=False)
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._send(_text(400, "this is not an HTTP request"), keep=False)

    # httptools
    def on_message_begin(self) -> None:
        """Begin a request."""
        self._reset()

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 - httptools' signature
        """Note whether a web page is behind the request."""
        if name.lower() == b"origin":
            self._from_page = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_done = True

    def on_body(self, data: bytes) -> None:
        """No page reads a body; an endless one ends the connection."""
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            self._send(_text(413, "no page takes a body"), keep=False)

    def on_message_complete(self) -> None:
        """Answer."""
        self._head_done = False
        self._head_bytes = 0
        if self._transport is None or self._transport.is_closing():
            return
        method = self._parser.get_method().decode("latin-1")
        reply = self._pages.reply(method, self._target.decode("latin-1"), from_page=self._from_page)
        # Nothing is ever upgraded: what follows such a request would be another protocol, so the connection ends.
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._send(reply, keep=keep, head_only=method == "HEAD")

    def _send(self, reply: Reply, *, keep: bool, head_only: bool = False) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        lines = [
            f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, 'Status')}",
            f"content-type: {reply.content_type}",
            f"content-length: {len(reply.body)}",
            "cache-control: no-store",
            "x-content-type-options: nosniff",
        ]
        if reply.allow:
            lines.append(f"allow: {reply.allow}")
        if not keep:
            lines.append("connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._transport.write(head if head_only else head + reply.body)
        if not keep:
            self._transport.close()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self.close)


_PHRASES: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def _text(status: int, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode("utf-8", "replace"))


def _json(value: Mapping[str, Any]) -> Reply:
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    return Reply(200, orjson.dumps(value, default=str, option=options), "application/json")
