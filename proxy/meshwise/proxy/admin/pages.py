"""The administration pages: method, path and query in, reply out; no sockets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson
import structlog

from meshwise.contracts.errors import DocumentError
from meshwise.proxy.admin.tap import Wanted, parse_wanted
from meshwise.proxy.telemetry.exposition import CONTENT_TYPE, Family, render

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

log = structlog.get_logger(__name__)


class AdminView(Protocol):
    """What the administration pages show and do."""

    async def ready(self) -> list[str]:
        """Return the reasons why the proxy is not ready; empty when it is."""

    async def config_dump(self) -> Mapping[str, Any]:
        """Return settings and the snapshot in force, without secrets."""

    async def clusters(self) -> Mapping[str, Any]:
        """Return clusters with their endpoints' state (ejected and why, active requests)."""

    async def stats(self) -> Mapping[str, Any]:
        """Return numbers by name; numeric ones (also nested) appear in ``/metrics`` as ``meshwise_proxy_<name>``."""

    async def families(self) -> list[Family]:
        """Return what ``/metrics`` and ``/counters`` show."""

    def tap(self, wanted: Wanted) -> AsyncGenerator[dict[str, Any], None] | None:
        """Return requests as they finish; ``None`` when too many look on."""

    def log_level(self) -> str:
        """Return the least severe level that is written."""

    def set_log_level(self, level: str) -> None:
        """Write events from ``level`` on."""

    def drain(self) -> None:
        """Begin to drain; returns at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; ``lines`` follow its body as they come, to the end of the connection."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    allow: str = ""
    lines: AsyncGenerator[dict[str, Any], None] | None = None


class AdminPages:
    """Every page there is."""

    def __init__(self, view: AdminView) -> None:
        self._view = view
        self._pages: dict[str, tuple[tuple[str, ...], Callable[[str, str], Awaitable[Reply]]]] = {
            "/livez": (("GET",), self._live),
            "/readyz": (("GET",), self._ready),
            "/metrics": (("GET",), self._metrics),
            "/config_dump": (("GET",), self._config_dump),
            "/clusters": (("GET",), self._clusters),
            "/endpoints": (("GET",), self._endpoints),
            "/counters": (("GET",), self._counters),
            "/stats": (("GET",), self._stats),
            "/tap": (("GET",), self._tap),
            "/log_level": (("GET", "POST"), self._log_level),
            "/drain": (("POST",), self._drain),
        }

    async def reply(self, method: str, target: str, *, from_page: bool = False) -> Reply:
        """Answer one request; ``from_page`` says that a browser sent it from some web page (an Origin header)."""
        path, _, query = target.partition("?")
        page = self._pages.get(path)
        if page is None:
            known = "\n".join(f"{' or '.join(wanted)} {name}" for name, (wanted, _) in self._pages.items())
            return _text(404, f"no page {path[:200]!r}; there are:\n{known}")
        wanted, answer = page
        allowed = (*wanted, "HEAD") if "GET" in wanted else wanted
        if method not in allowed:
            return Reply(405, f"{path} takes {' or '.join(wanted)}\n".encode(), allow=", ".join(allowed))
        if method == "POST" and from_page:
            # No page of ours posts here; a foreign page must not drain a proxy through somebody's browser.
            return _text(403, "requests from web pages are refused")
        try:
            return await answer(method, query)
        except DocumentError as error:
            return _text(400, str(error))
        except Exception:
            log.exception("administration page failed", path=path)
            return _text(503, "this page failed; see the log")

    async def _live(self, _: str, __: str) -> Reply:
        return _text(200, "ok")

    async def _ready(self, _: str, query: str) -> Reply:
        reasons = await self._view.ready()
        status = 503 if reasons else 200
        verdict = "readyz check failed" if reasons else "ok"
        if "verbose" in query.split("&") or any(part.startswith("verbose=") for part in query.split("&")):
            return _text(status, "\n".join([*(f"[-] {reason}" for reason in reasons), verdict]))
        return _text(status, verdict)

    async def _metrics(self, _: str, __: str) -> Reply:
        return Reply(200, render(await self._view.families()).encode(), CONTENT_TYPE)

    async def _counters(self, _: str, __: str) -> Reply:
        families = await self._view.families()
        return _json({one.name: [{**labels, "value": value} for labels, value in one.samples] for one in families})

    async def _config_dump(self, _: str, __: str) -> Reply:
        return _json(await self._view.config_dump())

    async def _clusters(self, _: str, __: str) -> Reply:
        return _json(await self._view.clusters())

    async def _stats(self, _: str, __: str) -> Reply:
        return _json(await self._view.stats())

    async def _endpoints(self, _: str, query: str) -> Reply:
        """One flat list; ``cluster=NAME`` and ``ejected`` narrow it."""
        asked = dict(parse_qsl(query, keep_blank_values=True))
        clusters = await self._view.clusters()
        found = [
            {"cluster": name, **endpoint}
            for name, cluster in clusters.items()
            if asked.get("cluster") in (None, name)
            for endpoint in cluster["endpoints"]
            if "ejected" not in asked or endpoint["ejected"]
        ]
        return _json({"endpoints": found})

    async def _tap(self, method: str, query: str) -> Reply:
        wanted = parse_wanted(dict(parse_qsl(query, keep_blank_values=True)))
        if method == "HEAD":
            return Reply(200, b"", "application/x-ndjson")
        lines = self._view.tap(wanted)
        if lines is None:
            return _text(429, "too many taps are open; close one")
        return Reply(200, b"", "application/x-ndjson", lines=lines)

    async def _log_level(self, method: str, query: str) -> Reply:
        if method == "POST":
            level = dict(parse_qsl(query)).get("level", "")
            if level not in LOG_LEVELS:
                raise DocumentError("level", f"{level[:40]!r} is not one of {', '.join(LOG_LEVELS)}")
            self._view.set_log_level(level)
            log.warning("log level changed", level=level)
        return _text(200, self._view.log_level())

    async def _drain(self, _: str, __: str) -> Reply:
        self._view.drain()
        return _text(202, "draining")


def _text(status: int, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode("utf-8", "replace"))


def _json(value: Mapping[str, Any]) -> Reply:
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_APPEND_NEWLINE
    return Reply(200, orjson.dumps(value, default=str, option=options), "application/json")
