"""One worker process: ``python -m meshwise.proxy.workers.worker FD``, started by the crew and by nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import uvloop

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.snapshot import parse_snapshot
from meshwise.proxy.admin import ProcessView
from meshwise.proxy.admin.tap import filter_of
from meshwise.proxy.admin.view import set_log_level
from meshwise.proxy.companions import exporter_of
from meshwise.proxy.guard.shared import SharedCounts
from meshwise.proxy.logs import configure_logs
from meshwise.proxy.proxy import FLUSH_S, Proxy
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.recorder import RingRecorder
from meshwise.proxy.tuning import keep_what_is_there
from meshwise.proxy.workers.channel import Channel
from meshwise.proxy.workers.merge import family_documents, share_of

log = structlog.get_logger(__name__)


class Worker:
    """What the crew says, done; what it asks, answered."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self._begun = asyncio.Event()
        self._begin: Mapping[str, Any] = {}
        self._channel: Channel | None = None
        self._proxy: Proxy | None = None
        self._view: ProcessView | None = None
        self._taps: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, link: socket.socket) -> None:
        """Serve until told to stop, or until the crew is gone."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGINT, int)  # a terminal's, meant for the crew, which tells us
        channel = self._channel = await Channel.over(link, self._on_message, self._on_lost)
        await self._begun.wait()
        begin = self._begin
        settings = ProxySettings.model_validate(begin["settings"])
        structlog.contextvars.bind_contextvars(worker=begin["number"])
        set_log_level(begin["log_level"])
        recorder = RingRecorder(
            settings.service, export=settings.collector_url is not None, ring_records=settings.ring_size
        )
        proxy = self._proxy = Proxy(settings, recorder)
        if proxy.inbound is not None:
            proxy.inbound.shared = SharedCounts(begin["limits"], begin["number"], begin["workers"])
        self._view = ProcessView(proxy, recorder, self.stop.set)
        if begin["snapshot"] is not None:
            self._apply(begin["snapshot"])
        if begin["identity"] is not None:
            await self._use(begin["identity"])
        exporter = exporter_of(settings, proxy, recorder, begin["instance_id"], process=os.getpid())
        if exporter is not None:
            await exporter.start()
        listeners = {name: [socket.socket(fileno=fd) for fd in fds] for name, fds in begin["listeners"].items()}
        await proxy.start(listeners)
        channel.send(began=True)
        await self.stop.wait()
        await proxy.stop()
        for tap in list(self._taps.values()):
            tap.cancel()
        if exporter is not None:
            await exporter.stop(FLUSH_S)
        channel.send(last=family_documents(await self._view.families()))
        channel.close()
        await asyncio.sleep(0)

    def _on_lost(self) -> None:
        self.stop.set()
        self._begun.set()

    def _on_message(self, message: Mapping[str, Any]) -> None:
        if "begin" in message:
            self._begin = message["begin"]
            self._begun.set()
        elif "apply" in message:
            self._apply(message["apply"])
        elif "identity" in message:
            self._later(self._use(message["identity"]))
        elif "ask" in message:
            self._later(self._answer(message["ask"], message["what"]))
        elif "tap" in message:
            number = message["tap"]
            self._taps[number] = asyncio.get_running_loop().create_task(self._tap(number, message["query"]))
        elif "untap" in message:
            tap = self._taps.pop(message["untap"], None)
            if tap is not None:
                tap.cancel()
        elif "log_level" in message:
            set_log_level(message["log_level"])
        elif "stop_accepting" in message and self._proxy is not None:
            self._proxy.stop_accepting()
        elif "stop" in message:
            self.stop.set()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _apply(self, document: Mapping[str, Any]) -> None:
        if self._proxy is None:
            self._begin = {**self._begin, "snapshot": document}
            return
        try:
            self._proxy.apply(share_of(parse_snapshot(document), self._begin["workers"]))
        except DocumentError as error:
            log.error("snapshot refused by a worker; the one before stays", problem=str(error))  # noqa: TRY400

    async def _use(self, file: str) -> None:
        """Take the identity that the crew has put in force."""
        from meshwise.proxy.identity.credentials import CredentialsFile

        proxy = self._proxy
        if proxy is None or proxy.tls is None:
            self._begin = {**self._begin, "identity": file}
            return
        credentials = await asyncio.to_thread(CredentialsFile(Path(file)).load, proxy.settings.service, time.time())
        if credentials is not None:
            proxy.tls.use(credentials, Path(file))

    async def _answer(self, number: int, what: str) -> None:
        assert self._channel is not None
        view = self._view
        if view is None:
            return
        value: Any
        if what == "families":
            value = family_documents(await view.families())
        elif what == "clusters":
            value = await view.clusters()
        elif what == "ready":
            value = await view.ready()
        else:
            value = await view.stats()
        self._channel.send(answer=number, value=value)

    async def _tap(self, number: int, query: Mapping[str, Any]) -> None:
        """Send what fits until told to stop; a slow crew makes the queue drop, not grow."""
        channel, view = self._channel, self._view
        assert channel is not None
        if view is None or not view.taps.room:
            return
        tap = view.taps.open(filter_of(query))
        try:
            while True:
                for line in await tap.take():
                    channel.send(line=number, value=line)
                await channel.drained()
        finally:
            view.taps.close(tap)
            channel.send(tapped=number, seen=tap.seen, dropped=tap.dropped)


def main() -> None:
    """Run the worker whose channel is the file descriptor named on the command line."""
    configure_logs()
    keep_what_is_there()
    link = socket.socket(fileno=int(sys.argv[1]))
    link.setblocking(False)
    uvloop.run(Worker().run(link))


if __name__ == "__main__":
    main()
