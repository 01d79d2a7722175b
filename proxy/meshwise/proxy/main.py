"""The proxy as a process: start the parts in order, wait for a signal or a successor, drain in order."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Protocol

import structlog
import uvloop

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.snapshot import Snapshot, parse_snapshot
from meshwise.proxy.admin import AdminServer, AdminView, ProcessView
from meshwise.proxy.companions import DataPath, control_of, discovery_of, exporter_of, identity_of
from meshwise.proxy.discovery.merging import Merging
from meshwise.proxy.handover import HandoverServer, Taken, take_over
from meshwise.proxy.net import listeners as sockets
from meshwise.proxy.net.listeners import Listeners, port_of
from meshwise.proxy.proxy import FLUSH_S, Proxy, load_snapshot_file
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.recorder import RingRecorder
from meshwise.proxy.tuning import keep_what_is_there, within_descriptors

log = structlog.get_logger(__name__)


def run(settings: ProxySettings) -> None:
    """Run one proxy until SIGTERM, SIGINT or a successor, then drain and return.

    Raises:
        ConfigError: a port is taken, a file cannot be read; nothing was started.
    """
    keep_what_is_there()
    uvloop.run(serve(within_descriptors(settings)))


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
    taken = None if settings.handover_socket is None else await asyncio.to_thread(take_over, settings.handover_socket)
    try:
        listeners = sockets.bind(settings) if taken is None else taken.listeners
        sockets.extend(listeners, settings)
        await _serve(settings, stop, listeners, snapshot, taken)
    except BaseException:
        if taken is not None:
            taken.refuse()
        raise


async def _serve(
    settings: ProxySettings,
    stop: asyncio.Event,
    listeners: Listeners,
    snapshot: Snapshot | None,
    taken: Taken | None,
) -> None:
    inbound_port = port_of(listeners.get("inbound", ()))
    instance_id = settings.instance_id or f"{settings.service}-{inbound_port or port_of(listeners['outbound'])}"
    part: _Part = (
        _Single(settings, instance_id, stop) if settings.workers == 1 else _Many(settings, listeners, instance_id, stop)
    )
    path = Merging(part.path, settings.service)
    if snapshot is not None:
        try:
            path.apply(snapshot)
        except DocumentError as error:
            raise ConfigError(f"proxy.snapshot_file {settings.snapshot_file}: {error}") from None
    elif taken is not None and taken.snapshot is not None:
        _apply_taken(path, taken)
    discovery = discovery_of(settings, path)
    if discovery is not None:
        discovery.start()
    admin = AdminServer(settings.host, settings.admin_port, part.view)
    admin_port = await admin.start(listeners["admin"][0])
    handover: HandoverServer | None = None
    try:
        identity = identity_of(settings, path)
        if identity is not None:
            await identity.start()
        await part.start(listeners)
        control = control_of(settings, path, instance_id, port=inbound_port, admin_port=admin_port)
        if identity is not None:
            # Nobody is told of an inbound listener that cannot yet prove whose it is.
            await _first(identity.obtained, stop)
        if control is not None and not stop.is_set():
            await control.start()
        if settings.handover_socket is not None:
            handover = HandoverServer(settings.handover_socket, listeners, part.snapshot, stop.set)
            await handover.start()
        if taken is not None:
            taken.confirm()
        log.info("proxy started", service=settings.service, id=instance_id, admin_port=admin_port)
        await stop.wait()

        replaced = handover is not None and handover.taken
        log.info("draining", replaced=replaced)
        if replaced:
            # The successor accepts already, and answers under our name.
            part.stop_accepting()
            await admin.stop()
        part.begin_drain()
        # First of all out of the registry: callers then close their idle connections before we do.
        leaving = asyncio.ensure_future(control.stop(leave=not replaced)) if control is not None else None
        await part.stop()
        if leaving is not None:
            await leaving
        if discovery is not None:
            await discovery.stop()
        if identity is not None:
            await identity.stop()
        await part.flush()
        log.info("drained")
    finally:
        if handover is not None:
            await handover.stop()
        await admin.stop()
        sockets.close(listeners)


class _Part(Protocol):
    """What differs between one process and several."""

    path: DataPath
    view: AdminView

    async def start(self, listeners: Listeners) -> None:
        """Serve."""

    def snapshot(self) -> dict[str, Any] | None:
        """Return the snapshot in force without what is on trial, for a successor."""

    def begin_drain(self) -> None:
        """Be not ready; keep serving."""

    def stop_accepting(self) -> None:
        """Close the listeners."""

    async def stop(self) -> None:
        """Finish what is under way, then close."""

    async def flush(self) -> None:
        """Send the last telemetry."""


class _Single:
    """This process alone."""

    def __init__(self, settings: ProxySettings, instance_id: str, stop: asyncio.Event) -> None:
        recorder = RingRecorder(
            settings.service, export=settings.collector_url is not None, ring_records=settings.ring_size
        )
        self._proxy = Proxy(settings, recorder)
        self.path: DataPath = self._proxy
        self.view: AdminView = ProcessView(self._proxy, recorder, stop.set)
        self._exporter = exporter_of(settings, self._proxy, recorder, instance_id)
        self.begin_drain = self._proxy.begin_drain
        self.stop_accepting = self._proxy.stop_accepting
        self.stop = self._proxy.stop

    async def start(self, listeners: Listeners) -> None:
        await self._proxy.start(listeners)
        if self._exporter is not None:
            await self._exporter.start()

    def snapshot(self) -> dict[str, Any] | None:
        table = self._proxy.outbound.table
        return None if table is None else table.snapshot.settled().to_document()

    async def flush(self) -> None:
        if self._exporter is not None:
            await self._exporter.stop(FLUSH_S)


class _Many:
    """Workers, and this process above them."""

    def __init__(self, settings: ProxySettings, listeners: Listeners, instance_id: str, stop: asyncio.Event) -> None:
        from meshwise.proxy.workers.crew import Crew
        from meshwise.proxy.workers.view import CrewView

        self._crew = Crew(settings, listeners, instance_id)
        self._listeners = listeners
        self.path: DataPath = self._crew
        self.view: AdminView = CrewView(self._crew, stop.set)

    async def start(self, listeners: Listeners) -> None:  # noqa: ARG002  # each worker has its share already
        await self._crew.start()

    def snapshot(self) -> dict[str, Any] | None:
        return None if self._crew.snapshot is None else self._crew.snapshot.settled().to_document()

    def begin_drain(self) -> None:
        self._crew.draining = True

    def stop_accepting(self) -> None:
        sockets.close(self._listeners)
        self._crew.stop_accepting()

    async def stop(self) -> None:
        # Workers serve on for the delay; what they do not accept must not wait in a socket that we hold.
        sockets.close(self._listeners)
        await self._crew.stop()

    async def flush(self) -> None:
        """Each worker has flushed its own."""


def _apply_taken(path: DataPath, taken: Taken) -> None:
    try:
        path.apply(parse_snapshot(taken.snapshot))
    except DocumentError as error:
        log.warning("snapshot of the predecessor not used", problem=str(error))


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of the events."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
