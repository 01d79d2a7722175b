"""What happens by itself: silent proxies leave, overdue rollouts end, old audit entries go."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError

from meshwise.control import registrations, registry, trials
from meshwise.control.plane import ControlPlane
from meshwise.control.rollouts import ACTIVE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pulse:
    """When the last tick ran, by the wall clock and by the monotonic one, and since when control listens."""

    wall: float
    monotonic: float
    listening_since: float


def tick(plane: ControlPlane, before: Pulse, monotonic: float) -> Pulse:
    """Let everything that is due expire, in one transaction."""
    settings, now = plane.settings, plane.clock()
    since = registry.listening_since(
        before.listening_since,
        wall_s=now - before.wall,
        clock_s=monotonic - before.monotonic,
        now=now,
        tick_s=settings.tick_s,
    )
    with plane.storage.write() as tx:
        gone = registrations.expire(
            tx, plane.presence, now, ttl_s=settings.ttl_s, forget_s=settings.forget_s, listening_since=since
        )
        trials.settle(tx, now)
        trials.expire(tx, now)
        tx.prune_audit(settings.audit_keep)
        revision, proxies, active = tx.revision, tx.proxies(), tx.active_rollouts()
    plane.hub.publish(revision)  # another replica on the same database may have raised it
    if gone:
        log.warning("proxies fell silent", ids=gone[:20], count=len(gone), ttl_s=settings.ttl_s)
        plane.metrics.expired.inc(len(gone))
    live = sum(proxy.alive for proxy in proxies)
    plane.metrics.revision.set(revision)
    plane.metrics.proxies.labels("true").set(live)
    plane.metrics.proxies.labels("false").set(len(proxies) - live)
    for state in ACTIVE:
        plane.metrics.rollouts.labels(state).set(sum(rollout.state == state for rollout in active))
    plane.metrics.streams.set(len(plane.hub))
    plane.metrics.overwritten.set(plane.hub.overwritten)
    return Pulse(now, monotonic, since)


async def run_jobs(plane: ControlPlane) -> None:
    """Tick until cancelled; a failed tick is logged, counted and tried again."""
    now = plane.clock()
    pulse = Pulse(now, time.monotonic(), now)
    while True:
        await asyncio.sleep(plane.settings.tick_s)
        try:
            pulse = await asyncio.to_thread(tick, plane, pulse, time.monotonic())
        except SQLAlchemyError as error:
            plane.metrics.failed_ticks.inc()
            log.warning("expiry failed", error=str(getattr(error, "orig", None) or error))
