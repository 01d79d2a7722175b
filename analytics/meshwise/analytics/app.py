"""The HTTP interface: what the last cycle found, a map of any past window, and a way to run a cycle now.

GET  /v1/map?seconds=900 | ?start=…&end=…   computed for the asking, from the rollups
GET  /v1/anomalies /v1/proposals /v1/rollouts   as of the last cycle or look
POST /v1/cycle                              runs one cycle; only from this machine, or with the token
     /v1/slos /v1/slo/…                     see slo_api
     /v1/alerts /v1/silences /v1/receivers  see alerts_api
GET  /livez /readyz /metrics
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from meshwise.analytics.alerts.courier import Courier
from meshwise.analytics.alerts_api import add_alert_routes
from meshwise.analytics.answers import as_json, refusal
from meshwise.analytics.bodies import is_local
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.judging import Judge
from meshwise.analytics.load import BulkClient, settled
from meshwise.analytics.map_export import FORMATS
from meshwise.analytics.service_map import service_map
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo_api import add_slo_routes
from meshwise.analytics.totals import load_totals
from meshwise.analytics.world import Window

log = structlog.get_logger(__name__)

MAX_SPAN_S = 30 * 86_400.0
"""Longest window of a map, in seconds."""


LATE_S = 5.0
"""A cycle that took longer than its period is followed at the next multiple of this, in seconds."""
MOMENT_S = 0.05
"""Ticks come so much after the telemetry they are for has settled, so that no rounding puts them before."""


class Pulse:
    """Runs the cycle every ``cycle_s`` seconds and looks at rollouts every ``judge_s``, each in a thread of its own.

    Both are due when telemetry has just come in: at multiples of their period by the wall clock, at which proxies
    export, and ``settle_s`` later. Anywhere else they would look at what they have seen, or a moment too early.
    """

    def __init__(
        self,
        cycle: Cycle,
        judge: Judge,
        *,
        cycle_s: float,
        judge_s: float,
        settle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cycle = cycle
        self._judge = judge
        self._cycle_s = cycle_s
        self._judge_s = judge_s
        self._settle_s = settle_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Run cycles until cancelled. A cycle that takes longer than ``cycle_s`` delays the next, it never overlaps."""
        clock = self._clock
        while True:
            began = clock()
            await self._run_cycle()
            # The tick nearest to a whole period later, as the first cycle begins at any time; of data that come in more
            # often than cycles end, the next.
            over = clock()
            late = over - began > self._cycle_s
            after = over if late else max(over, began + self._cycle_s / 2.0)
            due = next_tick(after, min(LATE_S, self._cycle_s) if late else self._cycle_s, self._settle_s)
            await asyncio.sleep(due - clock())

    async def watch(self) -> None:
        """Look at rollouts until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(next_tick(self._clock(), self._judge_s, self._settle_s) - self._clock())

    async def beat(self) -> None:
        """Look at rollouts and run one cycle now, after what is under way."""
        await self.look()
        await self._run_cycle()

    async def look(self) -> None:
        """Look at rollouts once, after the look that is under way."""
        async with self._looking:
            await asyncio.to_thread(self._judge.look, datetime.now(UTC))

    async def _run_cycle(self) -> None:
        async with self._lock:
            await asyncio.to_thread(self._cycle.run, datetime.now(UTC))


def next_tick(now: float, every_s: float, settle_s: float) -> float:
    """Return when the next tick after ``now`` is due: ``settle_s`` after a multiple of ``every_s``, and a moment."""
    phase = settle_s + MOMENT_S
    return (math.floor((now - phase) / every_s) + 1) * every_s + phase


def create_app(
    settings: AnalyticsSettings,
    cycle: Cycle,
    judge: Judge,
    courier: Courier,
    *,
    registry: CollectorRegistry,
    reader: BulkClient,
) -> FastAPI:
    """Return the application; ``reader`` is a client of the store for requests, apart from the cycle's."""
    pulse = Pulse(cycle, judge, cycle_s=settings.cycle_s, judge_s=settings.rollout_every_s, settle_s=settings.settle_s)
    app = FastAPI(title="meshwise analytics", lifespan=_lifespan(pulse, courier), openapi_url=None)
    _refuse_politely(app)
    _add_probes(app, settings, cycle, registry)
    _add_findings(app, settings, cycle, reader)
    _add_verdicts(app, judge)
    add_alert_routes(app, settings, cycle, courier)
    add_slo_routes(app, settings, cycle, reader)

    @app.post("/v1/cycle")
    async def run_cycle(request: Request) -> Response:
        if settings.token is None and not is_local(request):
            return refusal(403, "", "only this machine may start a cycle")
        await pulse.beat()
        board = cycle.board
        return as_json({"finished_at": board.finished_at, "stages_s": board.stages_s, "failed": board.failed})

    return app


def _lifespan(pulse: Pulse, courier: Courier) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = {"pulse": pulse.run(), "judge": pulse.watch(), "courier": courier.run()}
        tasks = [asyncio.create_task(run, name=name) for name, run in running.items()]
        for task in tasks:
            task.add_done_callback(_tell_if_dead)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


def _tell_if_dead(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background task ended", task=task.get_name(), exc_info=task.exception())


def _add_probes(app: FastAPI, settings: AnalyticsSettings, cycle: Cycle, registry: CollectorRegistry) -> None:
    @app.get("/livez")
    async def livez() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def readyz() -> Response:
        loaded = cycle.board.loaded_at
        patience = 3 * settings.cycle_s + 30.0
        if loaded is None or (datetime.now(UTC) - loaded).total_seconds() > patience:
            return Response("no cycle has read the store lately\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await asyncio.to_thread(generate_latest, registry), media_type=CONTENT_TYPE_LATEST)


def _add_findings(app: FastAPI, settings: AnalyticsSettings, cycle: Cycle, reader: BulkClient) -> None:
    @app.get("/v1/map")
    async def read_map(
        seconds: Annotated[float | None, Query(ge=10, le=MAX_SPAN_S, allow_inf_nan=False)] = None,
        start: datetime | None = None,
        end: datetime | None = None,
        form: Annotated[str, Query(alias="format")] = "",
    ) -> Response:
        now = datetime.now(UTC)
        if form and form not in FORMATS:
            return refusal(400, "format", f"a map can be {', '.join(FORMATS)}, not {form[:50]!r}")
        try:
            window = _window(settings, now, seconds, start, end)
            found = await asyncio.to_thread(lambda: service_map(load_totals(reader, window, now), now))
        except (ValueError, OverflowError) as error:
            return refusal(400, "window", str(error))
        return as_json({"format": form, "text": FORMATS[form](found)} if form else found)

    @app.get("/v1/anomalies")
    async def read_anomalies() -> Response:
        return as_json({"computed_at": cycle.board.finished_at, "anomalies": cycle.board.anomalies})

    @app.get("/v1/proposals")
    async def read_proposals() -> Response:
        board = cycle.board
        return as_json({"computed_at": board.finished_at, "proposals": board.proposals, "held": board.held})


def _add_verdicts(app: FastAPI, judge: Judge) -> None:
    @app.get("/v1/rollouts")
    async def read_rollouts() -> Response:
        verdicts = list(judge.verdicts.values())
        return as_json({"computed_at": max((one.at for one in verdicts), default=None), "verdicts": verdicts})


def _window(
    settings: AnalyticsSettings, now: datetime, seconds: float | None, start: datetime | None, end: datetime | None
) -> Window:
    if start is None and end is None:
        return settled(seconds or settings.map_window_s, now, settings.settle_s)
    if start is None or end is None or seconds is not None:
        raise ValueError("give either seconds, or start and end")
    window = Window(start, end)
    if window.seconds > MAX_SPAN_S or window.start.timestamp() < 0 or window.end.timestamp() > 2**32 - 3601:
        raise ValueError(f"a window spans at most {MAX_SPAN_S:.0f} seconds, after 1970")
    return window


def _refuse_politely(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def wrong_request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return refusal(400, str(first["loc"][-1]), str(first["msg"]))

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return refusal(error.status_code, "", str(error.detail))

    @app.exception_handler(ClickHouseError)
    async def unanswered(_: Request, error: ClickHouseError) -> Response:
        log.warning("store did not answer a request", problem=str(error)[:500])
        return refusal(503, "", "the store could not answer; see the log")
