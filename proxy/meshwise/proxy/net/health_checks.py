"""Asks endpoints whether they are well, for as long as a policy wants it: one task an endpoint, ended with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from meshwise.contracts.policy import HealthCheck
from meshwise.proxy.cluster.cluster import Cluster, EndpointState
from meshwise.proxy.net.connecting import Connector
from meshwise.proxy.net.probes import probe

JITTER: Final = 0.1
"""Share of the interval by which each wait differs, so that proxies do not all ask at once."""

log = structlog.get_logger(__name__)


class HealthChecks:
    """Every check that one proxy makes. ``count`` is told of each failed one, by the name of an event."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connector: Connector, count: Callable[[str], None]) -> None:
        self._loop = loop
        self._connector = connector
        self._count = count
        self._tasks: dict[EndpointState, tuple[Cluster, HealthCheck, asyncio.Task[None]]] = {}

    def update(self, wanted: Mapping[Cluster, HealthCheck]) -> None:
        """Check the endpoints of these clusters from now on, and no others; checks that stay as they are go on."""
        checks = {endpoint: (cluster, params) for cluster, params in wanted.items() for endpoint in cluster.endpoints}
        touched = set(wanted)
        for endpoint, (cluster, params, task) in list(self._tasks.items()):
            if endpoint not in checks or checks[endpoint][1] != params:
                task.cancel()
                del self._tasks[endpoint]
                touched.add(cluster)
                if endpoint not in checks:
                    endpoint.checked.healthy = True  # nobody asks any more: nobody knows better
        for endpoint, (cluster, params) in checks.items():
            if endpoint not in self._tasks:
                task = self._loop.create_task(self._check(cluster, endpoint, params))
                self._tasks[endpoint] = (cluster, params, task)
        for cluster in touched:
            cluster.look_at_health()

    async def close(self) -> None:
        """Ask no more."""
        tasks = [task for _, _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check(self, cluster: Cluster, endpoint: EndpointState, params: HealthCheck) -> None:
        while True:
            problem = await probe(self._connector, cluster, endpoint, params)
            if problem:
                self._count("health_check_failed")
            if endpoint.checked.take(params, problem):
                cluster.look_at_health()
                log.info("endpoint checked", cluster=cluster.name, endpoint=endpoint.id, problem=problem or None)
            await asyncio.sleep(params.interval * (1.0 - JITTER + 2.0 * JITTER * _draw()))


_draw: Final = random.random
