"""One timeout-and-retry policy per route, proposed with its evidence, or refused with the reason.

    config      limits, floors and steps
    regime      which part of the window speaks for now; thin, stale and drifting data
    gates       what must not be retried: load, side effects, failures that come from further down
    ceiling     how much load the callee bears
    candidates  timeouts and retries worth trying, all of them valid documents
    refinements hedges, waits, conditions, budgets and deadlines worth trying on the best of them
    search      replay them
    choice      which is best, and whether it is worth a change
    advice      choose, and say why in one sentence
    again       the same proposal from what it was made from
    evidence    the curve, the intervals, the assumptions, and what would change our mind

Better no proposal than a wrong one: whatever cannot be told from the data is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwise.analytics.proposal.advice import propose
    from meshwise.analytics.replay.attempts import Attempts, load_attempts

__all__ = ["Attempts", "load_attempts", "propose"]


def __getattr__(name: str) -> Any:
    # Settings import this package's config; numpy and scipy load only when a proposal is made.
    from importlib import import_module

    if name == "propose":
        return import_module("meshwise.analytics.proposal.advice").propose
    if name in __all__:
        return getattr(import_module("meshwise.analytics.replay.attempts"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
