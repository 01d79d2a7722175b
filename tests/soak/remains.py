"""What is left when nothing is under way, and rounds of load around it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pathlib as files
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from meshwise.contracts.policy import parse_policy
from meshwise.contracts.snapshot import Endpoint, Snapshot
from soak.callers import application, round_of, speak
from support.data_path import Mesh, Upstream, until
from support.http2_peers import RawServer
from support.identity import Pki, secured


@dataclass(frozen=True)
class Remains:
    """Counts at a quiet moment; ``objects`` are the proxy's own, ``rss_kb`` is resident memory."""

    seconds: float
    rounds: int
    descriptors: int
    tasks: int
    objects: int
    rss_kb: int


POLICY: dict[str, Any] = {
    "timeout": {"request": "2s", "attempt": "100ms"},
    "retry": {
        "max": 1,
        "on": {"connect": True, "reset": True, "codes": [503]},
        "backoff": {"base": "1ms", "max": "5ms"},
    },
    "outlier": {"consecutive": 1000},
}
POLICIES: list[dict[str, Any]] = [
    {"name": "catalog", "match": {"service": "catalog"}, **POLICY},
    {"name": "calls", "match": {"service": "calls"}, "mirror": {"service": "catalog", "percent": 20}, **POLICY},
]


@dataclass(frozen=True)
class Path:
    """A caller's proxy, and behind it over mutual TLS the callee's, once for each version of HTTP."""

    far: Mesh
    near: tuple[Mesh, Mesh]
    apps: tuple[Upstream, RawServer]

    @contextlib.asynccontextmanager
    @staticmethod
    async def open(directory: files.Path) -> AsyncIterator[Path]:
        """Start all of it; connections are dropped soon after use."""
        idle: dict[str, Any] = {"app_pool_idle_s": 0.1, "proxy_pool_idle_s": 0.1}
        pki = Pki(directory)
        async with (
            Upstream(application) as app,
            RawServer(speak) as streams,
            secured(pki, pki.identity("catalog"), app_port=app.port, **idle) as near,
            secured(pki, pki.identity("calls"), app_port=streams.port, **idle) as other,
            secured(pki, pki.identity("frontend"), mode="permissive", **idle) as far,
        ):
            ports = {"catalog": near.port, "calls": other.port}
            clusters = {name: (Endpoint(f"{name}-0", "127.0.0.1", port, tls="strict"),) for name, port in ports.items()}
            far.proxy.apply(Snapshot(1, "frontend", clusters, tuple(map(parse_policy, POLICIES))))
            yield Path(far, (near, other), (app, streams))

    async def quiet(self) -> None:
        """Wait until the proxies hold no request, tunnel or connection of either side; forget what was noted."""

        def holds(mesh: Mesh) -> bool:
            proxy = mesh.proxy
            return any(
                side.in_flight or side.tunnels or side.connections or side.replay_memory.used for side in proxy.sides
            ) or any(cluster["connections"] for cluster in proxy.clusters().values())

        meshes = (self.far, *self.near)
        await until(lambda: not any(map(holds, meshes)))
        self.apps[0].arrivals.clear()
        self.apps[1].peers.clear()
        for mesh in meshes:
            mesh.recorder.requests.clear()
            mesh.recorder.attempts.clear()


def count(seconds: float, rounds: int) -> Remains:
    """Count what is left now."""
    gc.collect()
    ours = sum(str(type(one).__module__).startswith("meshwise.proxy") for one in gc.get_objects())
    pages = int(files.Path("/proc/self/statm").read_text().split()[1])
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names alone
    return Remains(
        round(seconds, 1),
        rounds,
        descriptors,
        len(asyncio.all_tasks()),
        ours,
        pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    )


SETTLE_S = 5.0
"""How long a descriptor or an object may stay after its round; what leaked stays for ever."""


async def soak(seconds: float, round_s: float, *, seed: int = 1) -> AsyncIterator[Remains]:
    """Yield what is left after each round, the first of which only warms up."""
    begun, number, before = monotonic(), 0, Remains(0.0, 0, 2**31, 0, 2**31, 0)
    with tempfile.TemporaryDirectory() as directory:
        async with Path.open(files.Path(directory)) as path:
            while monotonic() - begun < seconds or number < 3:
                done = await round_of(path.far.port, round_s, seed + number)
                async with asyncio.timeout(60):
                    await path.quiet()
                number += 1
                found = count(monotonic() - begun, done)
                patience = monotonic() + SETTLE_S
                while monotonic() < patience and (
                    found.descriptors > before.descriptors or found.objects > before.objects
                ):
                    await asyncio.sleep(0.1)  # callers and applications, in this process too, close a little later
                    found = count(monotonic() - begun, done)
                before = found
                yield found


def leaks(seen: list[Remains], *, memory: bool) -> list[str]:
    """Return what grew since the first round; ``memory`` once rounds are long enough for it to mean something."""
    first, last = seen[1], seen[-1]
    found = [
        f"{name} grew from {before} to {after}"
        for name, before, after, most in (
            ("descriptors", first.descriptors, last.descriptors, first.descriptors),
            ("tasks", first.tasks, last.tasks, first.tasks),
            ("objects", first.objects, last.objects, first.objects * 1.02 + 20),
        )
        if after > most
    ]
    if memory and last.rss_kb > first.rss_kb * 1.1 + 4096:
        found.append(f"resident memory grew from {first.rss_kb} to {last.rss_kb} kB")
    return found
