"""The proxy as a process: start the parts in order, wait for a signal, drain in order."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Final

import structlog
import uvloop

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.proxy.admin import AdminServer, ProcessView
from meshwise.proxy.companions import control_of, exporter_of, identity_of
from meshwise.proxy.proxy import FLUSH_S, Proxy, load_snapshot_file
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.recorder import RingRecorder

log = structlog.get_logger(__name__)

_GARBAGE: Final = (20_000, 20, 50)
"""Allocations between looks for reference cycles, and looks between deeper ones. Requests leave no cycles behind, and
finished records wait for export in numbers that the interpreter's 700 would go through time and again."""


def run(settings: ProxySettings) -> None:
    """Run one proxy until SIGTERM or SIGINT, then drain and return.

    Raises:
        ConfigError: a port is taken, a file cannot be read; nothing was started.
    """
    # What was imported stays to the end: nobody need look through it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    uvloop.run(serve(settings))


async def serve(settings: ProxySettings, stop: asyncio.Event | None = None) -> None:
    """The same inside a running loop; ``stop`` ends it as a signal does.

    Raises:
        ConfigError: as in ``run``.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    snapshot = load_snapshot_file(settings)
    recorder = RingRecorder(
        settings.service, export=settings.collector_url is not None, ring_records=settings.ring_size
    )
    proxy = Proxy(settings, recorder)
    if snapshot is not None:
        try:
            proxy.apply(snapshot)
        except DocumentError as error:
            raise ConfigError(f"proxy.snapshot_file {settings.snapshot_file}: {error}") from None
    admin = AdminServer(settings.host, settings.admin_port, ProcessView(proxy, recorder, stop.set))
    admin_port = await admin.start()
    try:
        await proxy.start()
        instance_id = settings.instance_id or f"{settings.service}-{proxy.inbound_port or proxy.outbound_port}"
        exporter = exporter_of(settings, recorder, instance_id)
        identity = identity_of(settings, proxy)
        control = control_of(settings, proxy, instance_id, port=proxy.inbound_port, admin_port=admin_port)
        if exporter is not None:
            await exporter.start()
        if identity is not None:
            await identity.start()
            # Nobody is told of an inbound listener that cannot yet prove whose it is.
            await _first(identity.obtained, stop)
        if control is not None and not stop.is_set():
            await control.start()
        log.info("proxy started", service=settings.service, id=instance_id, admin_port=admin_port)
        await stop.wait()

        log.info("draining", requests=proxy.in_flight)
        proxy.begin_drain()
        # First of all out of the registry: callers then close their idle connections before we do.
        leaving = asyncio.ensure_future(control.stop()) if control is not None else None
        await proxy.stop()
        if leaving is not None:
            await leaving
        if identity is not None:
            await identity.stop()
        if exporter is not None:
            await exporter.stop(FLUSH_S)
        log.info("drained")
    finally:
        await admin.stop()


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of the events."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
