"""Child processes: started in order, watched, started again when they crash, stopped in reverse, never left behind.

Each part writes straight to a file of its own, so that neither a slow terminal nor the supervisor's own death can block
or break it; the supervisor follows the files and prints them as one stream. Every part leads a process group, and on
Linux the kernel sends it SIGTERM when the supervisor dies, however that happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshwise.cli.log_files import LogFile
from meshwise.cli.probe import is_ready
from meshwise.contracts.errors import MeshwiseError

PR_SET_PDEATHSIG = 1
"""source: prctl(2)"""
POLL_S = 0.1
BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 30.0
STEADY_S = 60.0
"""A part that ran this long before it ended starts again without a longer wait."""

Echo = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One child process. It is ready when ``ready_url`` answers 200; it has ``stop_s`` seconds to drain on SIGTERM.

    ``env`` is added to the supervisor's own environment; ``None`` takes a variable away.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str
    env: Mapping[str, str | None] = field(default_factory=dict)
    cwd: Path | None = None
    ready_s: float = 60.0
    stop_s: float = 15.0


@dataclass(slots=True)
class _Child:
    part: Part
    process: asyncio.subprocess.Process
    log: LogFile
    started_at: float
    stopping: bool = False
    watcher: asyncio.Task[None] | None = None


class Supervisor:
    """Runs parts. With ``restart`` a part that ends by itself is started again, without it ``on_loss`` hears of it."""

    def __init__(
        self,
        log_dir: Path,
        *,
        echo: Echo | None = None,
        restart: bool = False,
        on_loss: Callable[[str, int], None] | None = None,
    ) -> None:
        self._log_dir = log_dir
        self._echo = echo
        self._restart = restart
        self._on_loss = on_loss
        self._children: dict[str, _Child] = {}
        self._groups: list[tuple[str, ...]] = []
        self._follower: asyncio.Task[None] | None = None
        self.restarts: dict[str, int] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Process id of every part that runs."""
        return {name: child.process.pid for name, child in self._children.items() if child.process.returncode is None}

    async def start(self, *parts: Part) -> None:
        """Start ``parts`` side by side and wait until all are ready.

        Raises:
            MeshwiseError: one ended or was not ready in time; its own last words are in the message.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        self._groups.append(tuple(part.name for part in parts))
        for part in parts:
            await self._spawn(part)
        for part in parts:
            await self._wait_ready(self._children[part.name])
        for part in parts:
            child = self._children[part.name]
            child.watcher = asyncio.create_task(self._watch(child))

    async def stop(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """Stop parts in the reverse order of their start (all of them, or ``names``); return their exit statuses.

        Whoever does not end within its ``stop_s`` is killed, with everything in its process group. Safe at any time.
        """
        wanted = set(self._children if names is None else names)
        statuses: dict[str, int] = {}
        for group in reversed(self._groups):
            children = [self._children[name] for name in group if name in wanted and name in self._children]
            ended = await asyncio.gather(*(self._stop_one(child) for child in children))
            for child, status in zip(children, ended, strict=True):
                statuses[child.part.name] = status
                self._children.pop(child.part.name, None)
        if names is None and self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        return statuses

    async def kill(self, name: str) -> None:
        """Kill one part at once, as the loss of a machine would; it is not started again."""
        child = self._children.pop(name)
        child.stopping = True
        _signal_group(child.process.pid, signal.SIGKILL)
        await child.process.wait()
        if child.watcher is not None:
            await asyncio.gather(child.watcher, return_exceptions=True)

    async def _spawn(self, part: Part) -> _Child:
        log = LogFile(self._log_dir / f"{part.name}.log")
        with log.open_for_child() as file:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={key: value for key, value in {**os.environ, **part.env}.items() if value is not None},
                cwd=part.cwd,
                start_new_session=True,
                preexec_fn=_tie_to_parent,
            )
        child = _Child(part, process, log, time.monotonic())
        self._children[part.name] = child
        return child

    async def _wait_ready(self, child: _Child) -> None:
        deadline = child.started_at + child.part.ready_s
        while time.monotonic() < deadline:
            if child.process.returncode is not None:
                raise MeshwiseError(_last_words(child, f"ended with status {child.process.returncode}"))
            if await is_ready(child.part.ready_url):
                return
            await asyncio.sleep(POLL_S)
        raise MeshwiseError(_last_words(child, f"was not ready within {child.part.ready_s:g} s"))

    async def _stop_one(self, child: _Child) -> int:
        child.stopping = True
        process = child.process
        if child.watcher is not None:
            child.watcher.cancel()
            await asyncio.gather(child.watcher, return_exceptions=True)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), child.part.stop_s)
            except TimeoutError:
                self._say(child.part.name, f"did not stop within {child.part.stop_s:g} s; killed")
        # Whatever the part itself started must not outlive it.
        _signal_group(process.pid, signal.SIGKILL)
        status = await process.wait()
        self._drain_log(child)
        return status

    async def _watch(self, child: _Child) -> None:
        """Wait for an end that nobody asked for; start the part again, ever more slowly while it keeps ending."""
        name, wait = child.part.name, BACKOFF_MIN_S
        while True:
            status = await child.process.wait()
            if child.stopping:
                return
            _signal_group(child.process.pid, signal.SIGKILL)
            if not self._restart:
                self._say(name, f"ended with status {status}")
                if self._on_loss is not None:
                    self._on_loss(name, status)
                return
            if time.monotonic() - child.started_at >= STEADY_S:
                wait = BACKOFF_MIN_S
            self._drain_log(child)
            self._say(name, f"ended with status {status}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF_MAX_S)
            self.restarts[name] = self.restarts.get(name, 0) + 1
            watcher = child.watcher
            child = await self._spawn(child.part)
            child.watcher = watcher

    async def _follow(self) -> None:
        while True:
            for child in list(self._children.values()):
                self._drain_log(child)
            await asyncio.sleep(0.25)

    def _drain_log(self, child: _Child) -> None:
        for line in child.log.new_lines():
            if self._echo is not None:
                self._echo(child.part.name, line)

    def _say(self, name: str, text: str) -> None:
        if self._echo is not None:
            self._echo(name, text)


def meshwise_command(*arguments: str) -> tuple[str, ...]:
    """Return the command line that runs ``meshwise`` with ``arguments`` under this interpreter."""
    return (sys.executable, "-m", "meshwise.cli", *arguments)


def _last_words(child: _Child, what: str) -> str:
    said = [line for line in child.log.tail(30) if line.startswith(("meshwise: ", "shop: "))]
    if said:
        return f"{child.part.name} did not start: {said[-1].split(': ', 1)[1]}"
    return f"{child.part.name} did not start: it {what}; see {child.log.path}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _load_prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


_PRCTL = _load_prctl()  # looked up once, in the parent: between fork and exec nothing may be loaded


def _tie_to_parent() -> None:
    """Between fork and exec: have the kernel send SIGTERM to this child when the supervisor dies."""
    if _PRCTL is not None:
        _PRCTL(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
