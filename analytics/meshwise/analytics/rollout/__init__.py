"""The canary's judge: promote, roll back or wait, from what the proxies of both arms counted.

    config      floors, margins and error rates
    arms        counts per proxy and 10-second block of canary and control, and the query that loads them
    sequential  always-valid intervals of the difference of two shares, for clustered counts
    verdict     the order of rules that makes a decision of them

Silence is never success: what cannot be told is ``hold``, and a held rollout ends at its deadline by rolling back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.rollout.arms import ArmCounts, load_arms
    from meshwise.analytics.rollout.verdict import Verdict, judge, judge_from_store

__all__ = ["ArmCounts", "Verdict", "judge", "judge_from_store", "load_arms"]


def __getattr__(name: str) -> Any:
    # Settings import this package's config; numpy loads only when something is judged.
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "arms" if name in ("ArmCounts", "load_arms") else "verdict"
    return getattr(import_module(f"meshwise.analytics.rollout.{home}"), name)
