"""The open-loop load generator: requests start when the plan says so, and it keeps a record of its own.

A request's latency counts from the moment it was meant to start, so waiting inside the generator is not hidden. It is a
small HTTP service itself:

    POST /-/start               begin, or go on after a stop; the plan's clock starts
    POST /-/phase {"name": …}   every request that starts from now on belongs to this phase
    POST /-/stop                start no more; answers when every request under way has ended
    GET  /-/record?after=N      finished requests from the N-th on, one JSON object per line
    GET  /-/counters            how many were started, ended, refused for want of room, and how they ended
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp
from aiohttp import web
from examples.shop.load_plan import Kind, Shot, plan

MAX_IN_FLIGHT = 2000
MAX_RECORDS = 1_000_000
"""Finished requests kept in memory; past it only the counters go on."""
REQUEST_TIMEOUT_S = 30.0
"""Far above every policy: the generator never gives up before the mesh does."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One finished request. ``started`` is the intended start in Unix seconds; ``status`` 0 means no answer."""

    number: int
    phase: str
    kind: Kind
    started: float
    latency_s: float
    status: int
    error: str

    @property
    def ok(self) -> bool:
        """Answered, and not with a 5xx status."""
        return 0 < self.status < 500


class Generator:
    """Runs the plan against the front end behind the proxy at ``mesh`` and records every request."""

    def __init__(
        self, session: aiohttp.ClientSession, mesh: str, *, rate: float, seed: int, record: TextIO | None
    ) -> None:
        self._session = session
        self._mesh = mesh
        self._shots = plan(rate, seed)
        self._record_file = record
        self._phase = "start"
        self._tasks: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._planned_s = 0.0
        self.records: list[Finished] = []
        self.sent = 0
        self.finished = 0
        self.ok = 0
        self.refused = 0

    @property
    def in_flight(self) -> int:
        """Requests started and not ended."""
        return len(self._tasks)

    def start(self) -> None:
        """Begin, or go on with the plan after ``stop``; a second call changes nothing."""
        if self._driver is None:
            self._driver = asyncio.get_running_loop().create_task(self._drive())

    def enter_phase(self, name: str) -> None:
        """Count every request that starts from now on under ``name``."""
        self._phase = name

    async def stop(self) -> None:
        """Start no more requests and wait for those under way."""
        if self._driver is not None:
            self._driver.cancel()
            await asyncio.gather(self._driver, return_exceptions=True)
            self._driver = None
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if self._record_file is not None:
            self._record_file.flush()

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        begin, begin_wall = loop.time() - self._planned_s, time.time() - self._planned_s
        for shot in self._shots:
            self._planned_s = shot.at
            wait = begin + shot.at - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            elif shot.number % 100 == 0:
                await asyncio.sleep(0)  # far behind the plan: still let answers in
            if len(self._tasks) >= MAX_IN_FLIGHT:
                self.refused += 1
                continue
            task = loop.create_task(self._send(shot, self._phase, begin + shot.at, begin_wall + shot.at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, shot: Shot, phase: str, due: float, started: float) -> None:
        headers = {"idempotency-key": shot.idempotency_key} if shot.idempotency_key else {}
        status, error = 0, ""
        self.sent += 1
        try:
            async with self._session.request(
                shot.method, f"http://frontend{shot.path}", json=shot.body, headers=headers, proxy=self._mesh
            ) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as problem:
            error = type(problem).__name__
        latency = asyncio.get_running_loop().time() - due
        self._keep(Finished(shot.number, phase, shot.kind, started, round(latency, 6), status, error))

    def _keep(self, finished: Finished) -> None:
        self.finished += 1
        self.ok += finished.ok
        if len(self.records) < MAX_RECORDS:
            self.records.append(finished)
        if self._record_file is not None:
            self._record_file.write(to_line(finished))

    def to_document(self) -> dict[str, Any]:
        """Return the counters as JSON."""
        return {
            "sent": self.sent,
            "finished": self.finished,
            "ok": self.ok,
            "failed": self.finished - self.ok,
            "refused": self.refused,
            "in_flight": self.in_flight,
            "phase": self._phase,
        }


def to_line(finished: Finished) -> str:
    """Return one line of the record."""
    return json.dumps(asdict(finished), separators=(",", ":")) + "\n"


GENERATOR: Final = web.AppKey("generator", Generator)


def create_generator(mesh: str, *, rate: float, seed: int, record: str | None = None) -> web.Application:
    """Build the load generator's application; ``mesh`` is the URL of the ingress proxy, ``record`` a file to write."""
    app = web.Application()
    app.cleanup_ctx.append(_with_generator(mesh, rate, seed, record))
    app.add_routes(
        [
            web.get("/livez", _livez),
            web.post("/-/start", _start),
            web.post("/-/phase", _phase),
            web.post("/-/stop", _stop),
            web.get("/-/record", _record),
            web.get("/-/counters", _counters),
        ]
    )
    return app


def _with_generator(
    mesh: str, rate: float, seed: int, record: str | None
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def generator(app: web.Application) -> AsyncIterator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=10.0)
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        file = Path(record).open("w") if record else None  # noqa: ASYNC230, SIM115 - once, before any request
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                app[GENERATOR] = Generator(session, mesh, rate=rate, seed=seed, record=file)
                yield
                await app[GENERATOR].stop()
        finally:
            if file is not None:
                file.close()

    return generator


async def _livez(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _start(request: web.Request) -> web.Response:
    request.app[GENERATOR].start()
    return web.json_response(request.app[GENERATOR].to_document())


async def _phase(request: web.Request) -> web.Response:
    try:
        name = (await request.json())["name"]
    except (ValueError, TypeError, KeyError):
        name = None
    if not isinstance(name, str) or not 0 < len(name) <= 100:
        return web.json_response({"error": 'the body must be {"name": "…"}'}, status=400)
    request.app[GENERATOR].enter_phase(name)
    return web.json_response(request.app[GENERATOR].to_document())


async def _stop(request: web.Request) -> web.Response:
    await request.app[GENERATOR].stop()
    return web.json_response(request.app[GENERATOR].to_document())


async def _record(request: web.Request) -> web.Response:
    after = request.query.get("after", "0")
    if not after.isdecimal():
        return web.json_response({"error": "after must be a whole number"}, status=400)
    lines = "".join(map(to_line, request.app[GENERATOR].records[int(after) :]))
    return web.Response(text=lines, content_type="application/x-ndjson")


async def _counters(request: web.Request) -> web.Response:
    return web.json_response(request.app[GENERATOR].to_document())
