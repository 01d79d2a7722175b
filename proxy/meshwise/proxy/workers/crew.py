"""The process above the workers: it starts them, replaces those that end, and is the one proxy that others know."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import structlog

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.snapshot import Snapshot
from meshwise.proxy.admin.view import log_level
from meshwise.proxy.guard.shared import SharedCounts, shared_memory
from meshwise.proxy.net.listeners import Listeners, share
from meshwise.proxy.net.tls import MeshTls
from meshwise.proxy.proxy import guard_of
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.telemetry.exposition import Family
from meshwise.proxy.workers.channel import Channel
from meshwise.proxy.workers.merge import families_of, merged_families

if TYPE_CHECKING:
    from meshwise.proxy.identity.credentials import Credentials

ANSWER_S: Final = 2.0
"""How long a worker may take to answer; one that does not is left out."""
LONGEST_PAUSE_S: Final = 5.0
"""Between ends of one worker that follow each other; doubles from 0.1 s."""
GRACE_S: Final = 8.0
"""What a worker may take beyond the times of its drain: its last export."""

log = structlog.get_logger(__name__)


class WorkerHandle:
    """One worker as the crew sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.channel: Channel | None = None
        self.began = asyncio.Event()
        self.ends_in_a_row = 0

    def send(self, **message: Any) -> None:
        """Tell the worker something, if there is one."""
        if self.channel is not None:
            self.channel.send(**message)


class CrewTls(MeshTls):
    """What the identity agent steers: it checks the credentials here and hands their file to the workers."""

    def __init__(self, settings: ProxySettings, on_use: Callable[[Path], None]) -> None:
        super().__init__(settings.identity)
        self._on_use = on_use

    def use(self, credentials: Credentials, file: Path) -> None:
        """Put credentials in force in every worker.

        Raises:
            ssl.SSLError: they cannot be used; the former ones stay.
        """
        super().use(credentials, file)
        self._on_use(file)


class Crew:
    """The workers of one proxy. ``start``, then ``apply`` snapshots, then ``stop`` once."""

    def __init__(self, settings: ProxySettings, listeners: Listeners, instance_id: str) -> None:
        self.settings = settings
        self.identity_stats: Callable[[], Mapping[str, Any]] = dict
        self.control_stats: Callable[[], Mapping[str, Any]] = dict
        self.tls = None if settings.identity == "off" else CrewTls(settings, self._use)
        self.workers = [WorkerHandle(number) for number in range(settings.workers)]
        self.snapshot: Snapshot | None = None
        self.draining = False
        self.lost = 0
        """Workers that ended by themselves."""
        self.retired: list[Family] = []
        """What workers that have ended had counted."""
        if settings.access_file is not None:
            guard_of(settings.access_file, None)  # a mistake in it is told here, not by every worker in turn
        self._listeners = listeners
        self._instance_id = instance_id
        self._identity: Path | None = None
        self._limits = shared_memory()
        self._counts = SharedCounts(self._limits, 0, settings.workers)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._taps: dict[int, Callable[[Mapping[str, Any]], None]] = {}
        self._numbers = 0
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start every worker and wait until all of them serve."""
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in self.workers]
        await asyncio.gather(*(worker.began.wait() for worker in self.workers))

    def apply(self, snapshot: Snapshot) -> None:
        """Put a snapshot in force in every worker; requests under way are not affected.

        Raises:
            DocumentError: it is for another service; the one in force stays.
        """
        if snapshot.service != self.settings.service:
            raise DocumentError("service", f"is {snapshot.service!r}, but this proxy is {self.settings.service!r}")
        self.snapshot = snapshot
        document = snapshot.to_document()
        for worker in self.workers:
            worker.send(apply=document)
        log.info("snapshot applied", version=snapshot.version, clusters=len(snapshot.clusters))

    def policies_in_force(self) -> dict[str, int]:
        """Return name → version of every policy of the snapshot in force."""
        return {policy.name: policy.version for policy in self.snapshot.policies} if self.snapshot else {}

    def stop_accepting(self) -> None:
        """Let every worker close its listeners; connections stay."""
        for worker in self.workers:
            worker.send(stop_accepting=True)

    async def stop(self) -> None:
        """Drain every worker and wait for its end; kill one that outstays its time."""
        self.draining = True
        for worker in self.workers:
            worker.send(stop=True)
        deadline = monotonic() + self.settings.drain_delay_s + self.settings.drain_timeout_s + GRACE_S
        _, late = await asyncio.wait(self._keepers, timeout=max(0.1, deadline - monotonic()))
        for worker in self.workers:
            if worker.process is not None and worker.process.returncode is None:
                log.error("worker killed: it did not end in time", worker=worker.number)
                worker.process.kill()
        if late:
            await asyncio.wait(late, timeout=ANSWER_S)

    async def ask(self, what: str) -> list[Any]:
        """Return the answers of the workers that answer in time, in their order."""
        answers = await asyncio.gather(*(self._ask(worker, what) for worker in self.workers))
        return [answer for answer in answers if answer is not None]

    def open_tap(self, query: Mapping[str, Any], on_message: Callable[[Mapping[str, Any]], None]) -> int:
        """Let every worker send the requests that fit; return the tap's number."""
        self._numbers += 1
        self._taps[self._numbers] = on_message
        for worker in self.workers:
            worker.send(tap=self._numbers, query=query)
        return self._numbers

    def end_tap(self, number: int) -> None:
        """Let the workers send no more; each still says how many there were."""
        for worker in self.workers:
            worker.send(untap=number)

    def forget_tap(self, number: int) -> None:
        """Listen to a tap no more."""
        self._taps.pop(number, None)

    # --- inside ---

    def _use(self, file: Path) -> None:
        self._identity = file
        for worker in self.workers:
            worker.send(identity=str(file))

    async def _ask(self, worker: WorkerHandle, what: str) -> Any:
        if worker.channel is None or not worker.began.is_set():
            return None
        self._numbers += 1
        number = self._numbers
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        worker.send(ask=number, what=what)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            log.warning("worker did not answer", worker=worker.number, question=what)
            return None
        finally:
            del self._asked[number]

    async def _keep(self, worker: WorkerHandle) -> None:
        """Run one worker after the other, until the drain."""
        while True:
            begun = monotonic()
            status = await self._run(worker)
            worker.began.clear()
            worker.channel = None
            self._counts.forget(worker.number)
            if self.draining:
                return
            self.lost += 1
            worker.ends_in_a_row = 0 if monotonic() - begun > 60.0 else worker.ends_in_a_row + 1
            pause = min(LONGEST_PAUSE_S, 0.1 * 2.0 ** (worker.ends_in_a_row - 1)) if worker.ends_in_a_row else 0.0
            log.error("worker ended; another takes its place", worker=worker.number, status=status, after_s=pause)
            await asyncio.sleep(pause)

    async def _run(self, worker: WorkerHandle) -> int:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        mine = share(self._listeners, worker.number, len(self.workers))
        descriptors = {name: [one.fileno() for one in group] for name, group in mine.items()}
        with theirs:
            worker.process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "meshwise.proxy.workers.worker",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), self._limits, *(fd for fds in descriptors.values() for fd in fds)],
            )
        gone = asyncio.Event()
        worker.channel = await Channel.over(ours, lambda message: self._on_message(worker, message), gone.set)
        worker.send(
            begin={
                "settings": self.settings.model_dump(mode="json", exclude={"join_token", "join_token_file"}),
                "number": worker.number,
                "workers": len(self.workers),
                "instance_id": self._instance_id,
                "listeners": descriptors,
                "limits": self._limits,
                "snapshot": self.snapshot.to_document() if self.snapshot is not None else None,
                "identity": str(self._identity) if self._identity is not None else None,
                "log_level": log_level(),
            }
        )
        if self.draining:
            worker.send(stop=True)
        status = await process.wait()
        await gone.wait()  # what it said last has arrived
        return status

    def _on_message(self, worker: WorkerHandle, message: Mapping[str, Any]) -> None:
        if "answer" in message:
            asked = self._asked.get(message["answer"])
            if asked is not None and not asked.done():
                asked.set_result(message["value"])
        elif "line" in message or "tapped" in message:
            listener = self._taps.get(message.get("line", message.get("tapped")))
            if listener is not None:
                listener(message)
        elif "began" in message:
            worker.began.set()
        elif "last" in message:
            counters = [family for family in families_of(message["last"]) if family.kind == "counter"]
            self.retired = merged_families([self.retired, counters])
