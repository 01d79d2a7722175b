"""What a verdict rested on, as JSON, so that it can be reached again from what is stored.

    record(counts, config)      counts per proxy and block of both arms, and the limits in force
    restored(document)          the same back

Counts are stored while they are few enough to keep beside a verdict; beyond, a verdict carries sums only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from meshwise.analytics.rollout.arms import Arm, ArmCounts, Ends
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.threshold import InTime

MAX_CELLS: Final = 6_000
"""Proxies × blocks of all arms beyond which counts are not stored: about 170 KB of JSON."""
_COLUMNS: Final = ("requests", "good", "timely", "attempts", "retries", "denied")


def record(counts: ArmCounts, config: RolloutConfig) -> dict[str, Any] | None:
    """Return the inputs of a verdict, JSON-ready; ``None`` when there are too many to store."""
    arms = {"canary": counts.canary, "control": counts.control, "before": counts.before, "earlier": counts.earlier}
    if sum(arm.requests.size for arm in arms.values() if arm is not None) > MAX_CELLS:
        return None
    return {
        "block_starts": list(counts.block_starts),
        **{name: None if arm is None else _arm(arm) for name, arm in arms.items()},
        "ends": None if counts.ends is None else [counts.ends.sent, counts.ends.arrived],
        "within": None if counts.within is None else [counts.within.seconds, counts.within.basis],
        "limits": config.model_dump(),
    }


def restored(document: Mapping[str, Any]) -> tuple[ArmCounts, RolloutConfig]:
    """Return what ``record`` wrote.

    Raises:
        ValueError: it is not such a document.
    """
    try:
        ends, within = document.get("ends"), document.get("within")
        counts = ArmCounts(
            tuple(int(start) for start in document["block_starts"]),
            _restored_arm(document["canary"]),
            _restored_arm(document["control"]),
            before=None if document.get("before") is None else _restored_arm(document["before"]),
            earlier=None if document.get("earlier") is None else _restored_arm(document["earlier"]),
            ends=None if ends is None else Ends(int(ends[0]), int(ends[1])),
            within=None if within is None else InTime(float(within[0]), within[1]),
        )
        return counts, RolloutConfig.model_validate(document["limits"])
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"not the inputs of a verdict: {error!r}") from error


def _arm(arm: Arm) -> dict[str, Any]:
    return {"proxies": list(arm.instances), **{name: getattr(arm, name).tolist() for name in _COLUMNS}}


def _restored_arm(document: Mapping[str, Any]) -> Arm:
    names = tuple(str(name) for name in document["proxies"])
    # Verdicts of before the budget was watched say nothing of it, and are reached again without.
    told = {"denied": np.zeros_like(document["requests"]), **document}
    # An arm without proxies has lost its number of blocks on the way, which nothing asks for.
    columns = (np.asarray(told[name], dtype=np.int64).reshape(len(names), -1) for name in _COLUMNS)
    return Arm(names, *columns)
