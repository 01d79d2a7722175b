"""The canary's judge: promote, roll back or wait, from what the proxies of both arms counted.

    config      floors, margins and error rates
    arms        counts per proxy and 10-second block of canary and control, and the query that loads them
    threshold   what is in time on a route
    sequential  always-valid intervals of the difference of two shares, for clustered counts
    verdict     the order of rules that makes a decision of them
    shadow      the stage before: what proxies say the candidate would have done, and the rules that judge it

Silence is never success: what cannot be told is ``hold``, and a held rollout ends at its deadline by rolling back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.rollout.arms import ArmCounts, load_arms
    from meshwise.analytics.rollout.shadow import judge_shadow, judge_shadow_from_store
    from meshwise.analytics.rollout.verdict import Verdict, judge, judge_from_store

__all__ = [
    "ArmCounts",
    "Verdict",
    "judge",
    "judge_from_store",
    "judge_shadow",
    "judge_shadow_from_store",
    "load_arms",
]
_HOMES = {"ArmCounts": "arms", "load_arms": "arms", "judge_shadow": "shadow", "judge_shadow_from_store": "shadow"}


def __getattr__(name: str) -> Any:
    # Settings import this package's config; numpy loads only when something is judged.
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"meshwise.analytics.rollout.{_HOMES.get(name, 'verdict')}"), name)
