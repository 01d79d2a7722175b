"""One service's part in the mesh, inside its own process: what a sidecar is beside it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.companions import control_of, exporter_of, identity_of
from meshwise.proxy.dispatch import limits_of
from meshwise.proxy.http1.heads import RequestHead
from meshwise.proxy.inprocess.admission import Admission
from meshwise.proxy.inprocess.call import Call
from meshwise.proxy.net.timers import SharedTimer
from meshwise.proxy.proxy import FLUSH_S, Proxy, guard_of, load_snapshot_file
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.recorder import RingRecorder
from meshwise.proxy.telemetry.records import Recorder

if TYPE_CHECKING:
    from meshwise.proxy.access.guard import Guard
    from meshwise.proxy.inprocess.middleware import AsgiApplication, MeshMiddleware
    from meshwise.proxy.inprocess.transport import MeshTransport, ThreadTransport

STEP_S: Final = 0.02
"""Between looks whether the last calls have ended."""

log = structlog.get_logger(__name__)


class Mesh:
    """Start it in the event loop of the service, or let the middleware do it; stop it once.

    ``settings`` are a proxy's. Its ports and those about a listener play no part, except ``app_port``: where this
    service takes requests, told to callers. ``recorder`` takes every finished request; given one, nothing is exported.
    """

    def __init__(self, settings: ProxySettings, recorder: Recorder | None = None) -> None:
        self.settings = settings
        self.recorder: Recorder = recorder or RingRecorder(
            settings.service, export=settings.collector_url is not None, ring_records=settings.ring_size
        )
        self.limits = limits_of(settings)
        self.access: Guard | None = None
        """Who may call this service, when ``access_file`` says anything about that and the mesh runs."""
        self.admission = Admission(settings)
        self._proxy: Proxy | None = None
        self._timers: SharedTimer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: set[Call] = set()
        self._companions: list[Callable[[], Any]] = []
        """How to stop what runs beside, the last first."""

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def start(self) -> None:
        """Follow control, or take the snapshot file, and begin to export; does nothing when it runs already.

        Raises:
            ConfigError: a file cannot be read, a library is missing.
        """
        if self._proxy is not None:
            return
        settings = self.settings
        snapshot = load_snapshot_file(settings)
        self._loop = asyncio.get_running_loop()
        self._timers = SharedTimer(self._loop)
        # Without an application behind it: the middleware calls that instead of connecting to it.
        proxy = Proxy(
            settings.model_copy(update={"app_port": None, "app_socket": None, "drain_delay_s": 0.0}), self.recorder
        )
        proxy.on_applied.append(self.admission.apply)
        if snapshot is not None:
            try:
                proxy.apply(snapshot)
            except DocumentError as error:
                raise ConfigError(f"proxy.snapshot_file {settings.snapshot_file}: {error}") from None
        if settings.access_file is not None:
            access = guard_of(settings.access_file, None)
            await access.start()
            self.access = access
            self._companions.append(access.stop)
        self._proxy = proxy
        proxy.start_calling()
        # Several processes may serve one port, each with counts of its own.
        instance_id = settings.instance_id or f"{settings.service}-{settings.app_port or 0}-{os.getpid()}"
        if isinstance(self.recorder, RingRecorder):
            exporter = exporter_of(settings, proxy, self.recorder, instance_id)
            if exporter is not None:
                await exporter.start()
                self._companions.append(lambda: exporter.stop(FLUSH_S))
        identity = identity_of(settings, proxy)
        if identity is not None:
            await identity.start()
            self._companions.append(identity.stop)
        control = control_of(settings, proxy, instance_id, port=settings.app_port or 0, inbound_tls=False)
        if control is not None:
            await control.start()
            self._companions.append(control.stop)
        log.info("mesh joined in process", service=settings.service, id=instance_id)

    async def stop(self) -> None:
        """Let calls under way end within ``drain_timeout_s``, leave the mesh, send the last telemetry."""
        proxy, self._proxy = self._proxy, None
        if proxy is None:
            return
        until = monotonic() + self.settings.drain_timeout_s
        while proxy.in_flight and monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(STEP_S)  # the end of a request raises no event, for it is what must be quick
        for call in list(self._calls):
            call.close(by_us=True)
        await proxy.stop()
        if self._timers is not None:
            self._timers.close()
        while self._companions:
            await self._companions.pop()()

    # --- for its two sides ---

    def middleware(self, application: AsgiApplication) -> MeshMiddleware:
        """Return ``application`` with the inbound side in front; it starts and stops the mesh with the server."""
        from meshwise.proxy.inprocess.middleware import MeshMiddleware

        return MeshMiddleware(application, self)

    def transport(self, fallback: Any = None) -> MeshTransport:
        """Return the outbound side for an ``httpx.AsyncClient``; ``fallback`` takes what is no service of the mesh.

        Raises:
            ConfigError: httpx is not installed.
        """
        _need_httpx()
        from meshwise.proxy.inprocess.transport import MeshTransport

        return MeshTransport(self, fallback)

    def knows(self, authority: bytes) -> bool:
        """Tell whether a lower-case ``host[:port]`` is a service that may be called."""
        table = self._running().outbound.table
        return table is not None and table.find(authority) is not None

    def call(self, head: RequestHead) -> Call:
        """Return a call, not yet open; ``ended`` must be told of its end.

        Raises:
            RuntimeError: the mesh does not run.
        """
        dispatcher = self._running().outbound
        assert self._timers is not None
        assert self._loop is not None
        call = Call(dispatcher, head, self._timers, self._loop, self.settings.write_high_bytes)
        self._calls.add(call)
        return call

    def ended(self, call: Call) -> None:
        """The caller has no more interest in ``call``."""
        call.close()
        self._calls.discard(call)

    # --- for people ---

    def apply(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force, for services that follow neither control nor a file.

        Raises:
            DocumentError: it is for another service; the one in force stays.
            RuntimeError: the mesh does not run.
        """
        self._running().apply(snapshot)

    def clusters(self) -> Mapping[str, Any]:
        """Return every cluster's state, as a proxy's administration page shows it."""
        return self._running().clusters()

    def stats(self) -> Mapping[str, Any]:
        """Return counters and gauges, as a proxy's administration page shows them."""
        inbound = dict(self.admission.describe())
        if self.access is not None:
            inbound["access"] = self.access.stats()
        return {**self._running().stats(), "inbound": inbound}

    def ready(self) -> list[str]:
        """Return why this service should not call others yet; empty when it may."""
        return ["not started"] if self._proxy is None else [r for r in self._proxy.ready() if r != "not listening"]

    def _running(self) -> Proxy:
        if self._proxy is None:
            raise RuntimeError("the mesh does not run; enter it with 'async with', or call start() first")
        return self._proxy


class MeshThread:
    """A ``Mesh`` on an event loop in a thread of its own, for services without one; use it with ``with``."""

    def __init__(self, settings: ProxySettings, recorder: Recorder | None = None) -> None:
        self.mesh = Mesh(settings, recorder)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="meshwise", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        try:
            self.run(self.mesh.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        try:
            self.run(self.mesh.stop())
            self.run(self.loop.shutdown_default_executor())
        finally:
            self._end()

    def run(self, work: Any) -> Any:
        """Run a coroutine over there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def transport(self, fallback: Any = None) -> ThreadTransport:
        """Return the outbound side for an ``httpx.Client``; ``fallback`` takes what is no service of the mesh.

        Raises:
            ConfigError: httpx is not installed.
        """
        _need_httpx()
        from meshwise.proxy.inprocess.transport import ThreadTransport

        return ThreadTransport(self, fallback)

    def _end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _need_httpx() -> None:
    try:
        import httpx  # noqa: F401
    except ModuleNotFoundError:
        raise ConfigError("the transport needs httpx, which is not installed; pip install 'meshwise[httpx]'") from None
