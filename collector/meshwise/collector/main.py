"""Start a collector, and stop it so that nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Iterator, Sequence

import grpc.aio
import structlog
import uvicorn
import uvloop

from meshwise.collector import quarantine
from meshwise.collector.inserter import Inserter, Retry, StoreState
from meshwise.collector.landing import ClickHouseLanding
from meshwise.collector.metrics import CollectorMetrics
from meshwise.collector.operations import build_pages
from meshwise.collector.pipeline import Lane, Pipeline
from meshwise.collector.quarantine import Entry
from meshwise.collector.receivers.grpc import GrpcReceiver, build_server
from meshwise.collector.receivers.http import HttpReceiver
from meshwise.collector.receivers.tls import check_authority, grpc_credentials, http_options
from meshwise.collector.reporter import Reporter, StatsTable
from meshwise.collector.sampling.sampler import Sampler
from meshwise.collector.sampling.watch import Rules
from meshwise.collector.settings import CollectorSettings, SamplingSettings
from meshwise.collector.signals import Signal
from meshwise.collector.spool.backlog import Backlog
from meshwise.collector.spool.directory import SpoolDirectory, SpoolSpace
from meshwise.collector.spool.recovery import recover
from meshwise.collector.spool.writer import SealRule, SpoolWriter
from meshwise.collector.tenancy import Senders
from meshwise.collector.turns import Patience, Turns, turns_of
from meshwise.contracts.errors import ConfigError
from meshwise.store import serving
from meshwise.store.client import StoreAddress
from meshwise.store.client_certificates import CertificateProtocol

log = structlog.get_logger(__name__)

LAST_REPORT_S = 2.0
"""Time for the last row of own telemetry when the collector stops."""
GRPC_GRACE_S = 2.0
"""Time that calls under way have to finish when the collector stops."""
CANCEL_AGAIN_S = 0.2
"""Time that a cancelled task has to end before it is cancelled again."""


def run(settings: CollectorSettings) -> None:
    """Collect until SIGTERM or SIGINT, then drain and return.

    Raises ConfigError: a port is taken, the directory or the TLS files cannot be used, or the address is open to
    others without token and TLS. A store that is down is no error.
    """
    door = serving.Door(
        room="collector",
        host=settings.host,
        port=settings.http_port,
        token=settings.token,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        port_setting="http_port",
        secured=bool(settings.tenants or settings.tls_client_ca),
    )
    door.check()
    check_authority(settings)
    _store(settings).check()
    directory = SpoolDirectory(settings.data_dir)
    try:
        with door.listen() as listener:
            uvloop.run(_Collector(settings, directory).serve(listener))
    finally:
        directory.close()


def retry(settings: CollectorSettings, entries: Sequence[Entry]) -> dict[str, str | None]:
    """Send quarantined records to the store again; by name, what the store still refuses (None: it has it now)."""

    async def send() -> dict[str, str | None]:
        landing = _landing(settings)
        try:
            return {entry.name: await quarantine.retry(entry, landing) for entry in entries}
        finally:
            await landing.close()

    return asyncio.run(send())


def _store(settings: CollectorSettings) -> StoreAddress:
    return StoreAddress(
        settings.store_url,
        settings.store_user,
        settings.store_password,
        settings.store_token,
        settings.store_ca,
        settings.store_client_cert,
    )


def _landing(settings: CollectorSettings) -> ClickHouseLanding:
    return ClickHouseLanding(_store(settings), settings.insert_timeout_s, cluster=settings.store_cluster)


def _sampler(settings: SamplingSettings) -> Sampler | None:
    if settings.ratio >= 1.0:
        return None
    rules = Rules(
        errors=settings.errors,
        slow_s=settings.slow_s,
        slow_share=settings.slow_share,
        rare_per_minute=settings.rare_per_minute,
        most_traces=settings.max_traces,
        most_routes=settings.max_routes,
    )
    return Sampler(settings.ratio, rules, settings.wait_s)


class _HttpServer(uvicorn.Server):
    """Leaves signals to the collector, which has more to stop than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Collector:
    """The parts of one process, wired together."""

    def __init__(self, settings: CollectorSettings, directory: SpoolDirectory) -> None:
        self._settings = settings
        self._directory = directory
        self._metrics = CollectorMetrics()
        self._senders = Senders(settings)

    async def serve(self, listener: socket.socket) -> None:
        settings, metrics = self._settings, self._metrics
        space = SpoolSpace(settings.spool_max_bytes, settings.spool_min_free_bytes, settings.retry_after_s)
        space.observe_disk(*self._directory.free_bytes())
        store = StoreState()
        landings: list[ClickHouseLanding] = []
        rule = SealRule(settings.segment_bytes, settings.flush_interval_s, settings.retry_after_s)
        retry = Retry(settings.insert_retry_min_s, settings.insert_retry_max_s)
        sampler = _sampler(settings.sampling)
        lanes: dict[Signal, Lane] = {}
        inserters: list[Inserter] = []
        for name in Signal:
            backlog = Backlog()
            writer = SpoolWriter(name, self._directory, space, backlog, rule=rule, metrics=metrics)
            lanes[name] = Lane(writer, backlog)
            for _ in range(settings.inserts if name is Signal.TRACES else 1):
                # A connection each: one that fails is closed, and would take the inserts of the others with it.
                landings.append(_landing(settings))
                inserter = Inserter(
                    name,
                    backlog,
                    landings[-1],
                    directory=self._directory,
                    space=space,
                    store=store,
                    retry=retry,
                    sampler=sampler if name is Signal.TRACES else None,
                    metrics=metrics,
                )
                inserters.append(inserter)
            await self._recover(name, backlog, space)
        pipeline = Pipeline(settings, lanes, space, metrics, sampler)
        instance = settings.instance_id or f"{socket.gethostname()}:{listener.getsockname()[1]}"
        stats = StatsTable(_store(settings), settings.insert_timeout_s)
        reporter = Reporter(
            pipeline,
            metrics,
            space,
            stats.write,
            collector=instance,
            quarantine_dir=self._directory.quarantine,
            interval_s=settings.stats_interval_s,
        )
        await reporter.look()
        http = self._http_server(pipeline, store, instance)
        turns = Turns(
            turns_of(settings.max_parse_bytes, settings.max_body_bytes),
            Patience(settings.body_timeout_s),
            settings.retry_after_s,
        )
        grpc_server = build_server(GrpcReceiver(pipeline, self._senders, turns), settings.max_body_bytes)
        grpc_port = self._bind_grpc(grpc_server)

        # What is there now stays: the collector of garbage need not look at it each time, which takes it 20 ms.
        gc.collect()
        gc.freeze()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        writing = [asyncio.create_task(lane.writer.run()) for lane in lanes.values()]
        inserting = [asyncio.create_task(inserter.run()) for inserter in inserters]
        reporting = asyncio.create_task(reporter.run())
        serving_http = asyncio.create_task(http.serve(sockets=[listener]))
        await grpc_server.start()
        stopping = asyncio.create_task(stop.wait())
        log.info("listening", transport="grpc", host=settings.host, port=grpc_port)
        log.info("listening", transport="http", host=settings.host, port=listener.getsockname()[1])
        # None of these ends by itself: when one does, something is broken and stopping in order is best.
        await asyncio.wait([stopping, serving_http, *writing, *inserting], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        pipeline.drain()
        http.should_exit = True
        await grpc_server.stop(GRPC_GRACE_S)
        await serving_http
        for lane in lanes.values():
            lane.writer.close()
        await asyncio.gather(*writing)
        await self._drain(lanes, inserting)
        stopping.cancel()
        await self._last_report(reporter, reporting, store)
        await stats.close()
        for landing in landings:
            await landing.close()
        log.info("stopped", spooled_bytes=space.used)

    async def _last_report(self, reporter: Reporter, reporting: asyncio.Task[None], store: StoreState) -> None:
        """Write what changed since the last row, unless the store is known to be away."""
        reporting.cancel()
        for outcome in await asyncio.gather(reporting, return_exceptions=True):
            if isinstance(outcome, Exception):  # its failure must not be the collector's
                log.error("own telemetry failed", problem=repr(outcome))
        if store.up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPORT_S):
                    await reporter.report(time.time(), time.monotonic())

    async def _recover(self, name: Signal, backlog: Backlog, space: SpoolSpace) -> None:
        found = await asyncio.to_thread(recover, self._directory, name)
        for sealed in found.segments:
            space.add(sealed.size)
            backlog.put(sealed)
        self._metrics.recovered.labels(name.value).inc(found.items)
        self._metrics.torn_bytes.labels(name.value).inc(found.torn_bytes)
        self._metrics.lost_records.labels(name.value).inc(found.lost_records)
        self._metrics.unreadable.labels(name.value).inc(found.unreadable)
        if found.segments:
            log.info("spool recovered", signal=name.value, segments=len(found.segments), items=found.items)

    def _http_server(self, pipeline: Pipeline, store: StoreState, instance: str) -> _HttpServer:
        settings = self._settings
        hosts = None
        if serving.is_loopback(settings.host):
            names = {"localhost", "127.0.0.1", "::1", settings.host, *settings.allowed_hosts}
            hosts = frozenset(name.lower().strip("[]") for name in names)
        app = HttpReceiver(
            pipeline,
            build_pages(
                pipeline,
                self._metrics,
                store,
                collector=instance,
                quarantine_dir=self._directory.quarantine,
            ),
            max_body_bytes=settings.max_body_bytes,
            body_timeout_s=settings.body_timeout_s,
            senders=self._senders,
            hosts=hosts,
        )
        config = uvicorn.Config(
            app,
            http=CertificateProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=settings.max_connections,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(settings.drain_s)),
            **http_options(settings),
        )
        return _HttpServer(config)

    def _bind_grpc(self, server: grpc.aio.Server) -> int:
        settings = self._settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            credentials = grpc_credentials(settings)
            if credentials is not None:
                return server.add_secure_port(address, credentials)
            return server.add_insecure_port(address)
        except RuntimeError:
            raise ConfigError(
                f"collector cannot listen on {address}: stop what uses it, or set collector.grpc_port"
            ) from None

    async def _drain(self, lanes: dict[Signal, Lane], inserting: list[asyncio.Task[None]]) -> None:
        """Give the inserters a few seconds; what is left stays on disk for the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await asyncio.gather(*(lane.backlog.emptied() for lane in lanes.values()))
        await _end(inserting)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel ``tasks`` until each has ended.

    The store's client may take a cancellation while it connects for a connection that failed; then its caller would try
    again for ever.

    Raises:
        Exception: what ended one of them before.
    """
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.result()


__all__ = ["run"]
