"""What a rehearsal predicts for a trigger, beside what the shop then does under the same trigger.

The shop runs healthy for a while, from which the graph is learned as for any rehearsal; then each trigger is set for
real, one after another. Goodput is the share of what enters that is answered well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.live.shop import Shop
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.mesh import Mesh
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.cli.demo import parts
from meshwise.cli.demo.documents import base_policies
from meshwise.cli.demo.wire import ask
from meshwise.store.client import StoreAddress

LEARN_S: Final = 70.0
TRIGGER_S: Final = 20.0
REST_S: Final = 15.0
"""Between two triggers, so that nothing is left of the one before."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A trigger as the rehearsal knows it, and the fault of the shop that is the same."""

    kind: str
    policy: str
    settings: dict[str, float]
    instance: str = ""
    fault: dict[str, Any] | None = None


SLOWED_S: Final = 2.0
OWN_WORK_S: Final = 0.0065
"""Median of recommendation's own work, so that the delay is a factor on it."""

TRIALS: Final = (
    Trial(
        "error burst", "frontend.recommendation", {"error_share": 0.3},
        "recommendation-1", {"kind": "errors", "share": 0.3},
    ),
    Trial(
        "slow backend", "frontend.recommendation", {"slow_factor": (OWN_WORK_S + SLOWED_S) / OWN_WORK_S},
        "recommendation-1", {"kind": "slow_tail", "share": 1.0, "delay_s": SLOWED_S},
    ),
    Trial("load spike", "frontend.recommendation", {"spike_factor": 2.0}),
    Trial("lost replicas", "frontend.catalog", {"lost_share": 0.5}, "catalog-2", {"kind": "lost"}),
)  # fmt: skip


async def compare(shop: Shop, *, rate: float, seed: int) -> list[dict[str, Any]]:
    """Return a row per trigger: goodput before and during it, predicted and measured."""
    await shop.phase("before", LEARN_S)
    predicted = [await asyncio.to_thread(_predict, shop, trial) for trial in TRIALS]
    for trial in TRIALS:
        await shop.phase(trial.kind)
        if trial.fault is None:
            await _spike(shop, rate=rate, seed=seed + 1)
        else:
            await shop.fault(trial.instance, **trial.fault)
            await asyncio.sleep(TRIGGER_S)
            if trial.fault["kind"] != "lost":
                await shop.fault(trial.instance, kind="none")
        await shop.phase("rest", REST_S)
    record = await shop.record()
    return [
        {
            "trigger": trial.kind,
            "strength": next(iter(trial.settings.values())),
            "policy": trial.policy,
            "predicted_before": before,
            "measured_before": record["before"]["success"],
            "predicted": during,
            "measured": record[trial.kind]["success"],
            "requests": record[trial.kind]["requests"],
            "error": round(abs(during - record[trial.kind]["success"]) / record[trial.kind]["success"], 4)
            if record[trial.kind]["success"]
            else None,
        }
        for trial, (before, during) in zip(TRIALS, predicted, strict=True)
    ]


def _predict(shop: Shop, trial: Trial) -> tuple[float, float]:
    config = RehearsalConfig.model_validate({"trigger_s": TRIGGER_S, **trial.settings})
    settings = AnalyticsSettings.model_validate({"rehearsal": config.model_dump()})
    control = ControlApi(shop.topology.url("control"))
    mesh = Mesh(
        StoreAddress(f"{shop.topology.url('store')}/meshwise").connect(form_encode_query_params=True),
        settings,
        control=control,
    )
    try:
        (policy,) = [one for one in base_policies() if one["name"] == trial.policy]
        (found,) = mesh.rehearse(policy, LEARN_S)
        (under,) = [one for one in found.compared if one.trigger.kind == trial.kind]
        return round(under.current.run.before, 4), round(under.current.run.during, 4)
    finally:
        mesh.close()


async def _spike(shop: Shop, *, rate: float, seed: int) -> None:
    """Let as many customers again come in by the same door, and leave."""
    from meshwise.cli.ports import pick_ports

    (port,) = pick_ports(1)
    again = replace(shop.topology, load_port=port)
    part = parts.load_part(again, parts.find_checkout(), shop.directory / "spike.jsonl", rate=rate, seed=seed)
    part = replace(part, name="load-spike")
    await shop.supervisor.start(part)
    await ask(f"{again.load}/-/start", method="POST")
    await asyncio.sleep(TRIGGER_S)
    await shop.supervisor.stop([part.name])
