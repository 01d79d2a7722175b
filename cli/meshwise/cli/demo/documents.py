"""Policy documents of the demo: what the shop starts with, and one that is bad on purpose."""

from __future__ import annotations

from typing import Any, Final

TUNED: Final = "frontend.recommendation"
"""The policy that the loop is expected to find better values for."""
BAD: Final = "frontend.catalog"
"""The policy that the bad candidate is submitted for."""


def base_policies() -> tuple[dict[str, Any], ...]:
    """Return the policies in force from the start: plausible, hand-written, and without retries where it counts.

    Callees that more than one service calls are governed by one policy for whoever calls.
    """
    never = {"max": 0, "on": {"connect": False}}
    # A front end that passes its callees' failures on is not broken itself: ejecting it would hide a canary's harm.
    patient = {"outlier": {"consecutive": 1000}}
    return (
        {**_policy("ingress", "frontend", "10s", never), **patient},
        _policy("frontend", "recommendation", "1s", never),
        _policy("frontend", "catalog", "2s", {"max": 1}),
        _policy("frontend", "cart", "2s", {"max": 1}),
        _policy("frontend", "checkout", "5s", never),
        _policy("checkout", "payment", "2s", never),
        _policy("checkout", "shipping", "2s", never),
        _policy(None, "inventory", "1s", {"max": 1}),
        _policy(None, "catalog", "1s", {"max": 1}),
    )


def bad_policy() -> dict[str, Any]:
    """Return a candidate that passes every check of form and harms every caller: 3 ms for an answer that takes 4."""
    return _policy("frontend", "catalog", "3ms", {"max": 0, "on": {"connect": False}})


def _policy(source: str | None, service: str, request: str, retry: dict[str, Any]) -> dict[str, Any]:
    match = {"service": service, **({"source": source} if source else {})}
    return {"name": f"{source or 'any'}.{service}", "match": match, "timeout": {"request": request}, "retry": retry}
