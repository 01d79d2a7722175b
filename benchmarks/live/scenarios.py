"""What is broken, and what is submitted. Each scenario runs in a shop of its own and returns one row."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from benchmarks.live.shop import Shop, until
from meshwise.cli.demo.documents import bad_policy, base_policies

BEFORE_S: Final = 60.0
"""Healthy traffic first: what a proposal and the eye compare with."""
PROMOTED_WITHIN_S: Final = 150.0
TUNED_S: Final = 30.0
AFTER_S: Final = 25.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Breakage:
    """Faults by instance, for ``during_s`` seconds where no promotion is waited for.

    ``tuned`` is the policy that the loop is expected to find better values for. ``start`` overrides policies in force
    from the beginning.
    """

    faults: Mapping[str, Mapping[str, Any]]
    tuned: str = ""
    during_s: float = 30.0
    start: tuple[Mapping[str, Any], ...] = field(default=())


def _retrying(name: str) -> Mapping[str, Any]:
    """A policy of the shop as impatient people write it: a short timeout, twice repeated."""
    (base,) = [one for one in base_policies() if one["name"] == name]
    retry = {"max": 2, "on": {"connect": True, "reset": True, "timeout": True, "codes": [502, 503, 504]}}
    return {**base, "timeout": {"request": "1s", "attempt": "250ms"}, "retry": retry}


BREAKAGES: Final[Mapping[str, Breakage]] = {
    "slow tail": Breakage(
        {"recommendation-1": {"kind": "slow_tail", "share": 0.1, "delay_s": 2.5}}, "frontend.recommendation"
    ),
    "sick replica": Breakage({"catalog-2": {"kind": "slow_tail", "share": 0.4, "delay_s": 3.0}}, "frontend.catalog"),
    "error burst": Breakage({"recommendation-1": {"kind": "errors", "share": 0.3}}, during_s=20.0),
    "retry storm": Breakage(
        {"recommendation-1": {"kind": "cpu_hog", "share": 0.97}},
        during_s=20.0,
        start=(_retrying("frontend.recommendation"),),
    ),
    "lost replica": Breakage({"catalog-2": {"kind": "lost"}}, during_s=30.0),
}


def unseen_policy() -> dict[str, Any]:
    """Return a candidate whose harm no shadow can see: an injected fault, left over from somebody's test."""
    (base,) = [one for one in base_policies() if one["name"] == "frontend.catalog"]
    return {**base, "fault": {"abort": {"status": 503, "percent": 60}}}


BAD: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "bad timeout": bad_policy,
    "left-over fault": unseen_policy,
}


async def break_shop(shop: Shop, breakage: Breakage) -> Row:
    """Break the shop, wait for the loop where it has something to find, mend the shop; return what happened."""
    await shop.apply(breakage.start)
    await shop.phase("before", BEFORE_S)
    broken_at = await shop.phase("during")
    for instance, fault in breakage.faults.items():
        await shop.fault(instance, **fault)
    row: Row = {}
    if breakage.tuned:
        row = await _promotion(shop, breakage.tuned, broken_at)
        if row.get("promote_s") is not None:
            await shop.phase("tuned", TUNED_S)
    else:
        await shop.phase("during", breakage.during_s)
    for instance, fault in breakage.faults.items():
        if fault["kind"] != "lost":
            await shop.fault(instance, kind="none")
    await shop.phase("settling", 5.0)
    await shop.phase("after", AFTER_S)
    return row | {"client": await shop.record()}


async def _promotion(shop: Shop, policy: str, broken_at: float) -> Row:
    async def promoted() -> dict[str, Any] | None:
        return next((one for one in await shop.rollouts(policy) if one["state"] == "promoted"), None)

    rollout = await until(promoted, PROMOTED_WITHIN_S)
    if rollout is None:
        tried = await shop.rollouts(policy)
        return {"promote_s": None, "rollouts": [_told(one) for one in tried]}
    return {
        "promote_s": round(seconds(rollout["finished_at"]) - broken_at, 1),
        "proposed_s": round(seconds(rollout["created_at"]) - broken_at, 1),
        "policy": {key: rollout["policy"][key] for key in ("timeout", "retry")},
        "rollouts": [_told(rollout)],
    }


async def try_bad_policy(shop: Shop, policy: Mapping[str, Any]) -> Row:
    """Submit a policy that harms, and see how long it lives and how many requests it governs."""
    await shop.phase("before", BEFORE_S)
    await shop.phase("during")
    rollout = await shop.submit(policy, "deliberately bad: see whether it is taken back")
    ended = await shop.ended(rollout["id"], 180.0)
    row = {
        "state": ended["state"],
        "ended_s": round(seconds(ended["finished_at"] or _iso(time.time())) - seconds(ended["created_at"]), 1),
        "exposed_percent": exposed(ended),
        "rollouts": [_told(ended)],
    }
    await shop.phase("after", AFTER_S)
    return row | {"client": await shop.record()}


def exposed(rollout: Mapping[str, Any]) -> float | None:
    """Return what share of the edge's requests the candidate governed while it had canaries, in percent."""
    if not rollout["canary_proxies"]:
        return 0.0
    arms = next((v["evidence"] for v in reversed(rollout["verdicts"]) if (v["evidence"] or {}).get("canary")), None)
    if arms is None:
        return None
    canary, control = (float(arms[name]["requests"]) for name in ("canary", "control"))
    return round(100.0 * canary / (canary + control), 1) if canary + control else 0.0


def seconds(text: str) -> float:
    """Return a time of control as Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat()


def _told(rollout: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": rollout["state"],
        "created_at": rollout["created_at"],
        "finished_at": rollout["finished_at"],
        "canaries": list(rollout["canary_proxies"]),
        "verdicts": [
            {key: verdict.get(key) for key in ("at", "shadow", "stage", "decision", "reason")}
            for verdict in rollout["verdicts"]
        ],
    }


Play = Callable[[Shop], Awaitable[Row]]
PLAYS: Final[Mapping[str, Play]] = {
    **{name: partial(break_shop, breakage=one) for name, one in BREAKAGES.items()},
    **{name: partial(try_bad_policy, policy=make()) for name, make in BAD.items()},
}
