"""What is in time on one route, so that a candidate that slows its tail is seen wherever that tail is.

In this order:

1. The threshold of a latency objective that somebody wrote for the callee, unless most successes miss it anyway.
2. What the route took under the policy in force just before the rollout: three times what 95 of 100 successes took.
   Where a twentieth is so slow that this is more than half a second, half a second, or three times the median.
3. With too few successes to tell, half a second.

A threshold from 2 is never below a tenth of a second, which the noise of very fast routes reaches. Nor is it, up to
half a second, below what a request takes that the candidate repeats, where it repeats sooner than the policy in force:
those are what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.slo.objectives import ObjectiveOverride
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.histogram import bucket_index, bucket_upper, quantile, share_at_most
from meshwise.contracts.policy import DEFAULT_POLICY, Policy, parse_policy
from meshwise.contracts.slo import Objective, Signal

Basis = Literal["objective", "usual", "setting"]


@dataclass(frozen=True, slots=True)
class InTime:
    """A success within ``seconds`` is in time; ``basis`` is where that comes from."""

    seconds: float
    basis: Basis


def in_time(
    rollout: Mapping[str, Any], usual: Mapping[int, int], config: RolloutConfig, promised_s: float | None = None
) -> InTime:
    """Return what is in time for ``rollout``, control's document.

    ``usual`` are the latencies of successes before it (a bucket index of ``contracts.histogram`` to a count).
    """
    few = sum(usual.values()) < config.fast_min_requests
    if promised_s is not None and (few or (share_at_most(usual, promised_s) or 0.0) >= 0.5):
        return InTime(promised_s, "objective")
    median, tail = quantile(usual, 0.5), quantile(usual, 0.95)
    if few or median is None or tail is None:
        return InTime(config.slow_threshold_s, "setting")
    longest = max(config.slow_threshold_s, config.usual_factor * median)
    usually = config.usual_factor * tail
    seconds = max(min(usually, longest), min(config.slow_threshold_s, _repeated(rollout, tail, usually)))
    # The bound of a bucket: none straddles it, and what the noise of few requests changes is mostly nothing.
    return InTime(max(config.least_threshold_s, bucket_upper(bucket_index(seconds))), "usual")


def promised(
    rollout: Mapping[str, Any],
    documents: Mapping[str, Sequence[Objective]],
    overrides: Mapping[str, ObjectiveOverride],
) -> float | None:
    """Return the threshold, in seconds, of the latency objective that covers a rollout: of many the tightest.

    ``documents`` maps the name of each SLO document to what it promises, ``overrides`` a service to its settings. What
    every service promises by default says nothing of this one.
    """
    policy = rollout.get("policy")
    match = policy.get("match") if isinstance(policy, Mapping) else None
    if not isinstance(match, Mapping):
        return None
    service = str(match.get("service", ""))
    written = [one for many in documents.values() for one in many if one.service == service]
    if written:
        told = (_covers(one.judges, match) for one in _parts(written))
        return min((within_s for within_s in told if within_s is not None), default=None)
    override = overrides.get(service)
    return None if override is None else override.latency_threshold_s


def _parts(objectives: Iterable[Objective]) -> Iterable[Objective]:
    for one in objectives:
        yield from [part.objective for part in one.parts] or [one]


def _covers(signal: Signal, match: Mapping[str, Any]) -> float | None:
    """Return within how many seconds a signal's requests are good, if all that ``match`` governs are among them."""
    covers = (
        signal.destination == match.get("service")
        and signal.source in (None, match.get("source"))
        and signal.route in (None, match.get("route") or "")
        and (not signal.methods or (match.get("methods") and set(match["methods"]) <= set(signal.methods)))
    )
    return signal.within_s if covers else None


def _repeated(rollout: Mapping[str, Any], tail_s: float, usually_s: float) -> float:
    """Return what is in time for a request that the candidate repeats sooner than the policy in force, 0 if none is.

    The first attempt is cut off, or fails within ``tail_s``; the second may take ``usually_s``, as any request.
    """
    candidate, baseline = _policy(rollout.get("policy")), _policy(rollout.get("baseline")) or DEFAULT_POLICY
    if candidate is None:
        return 0.0
    new, old, waits = candidate.retry, baseline.retry, [0.0]
    attempt = candidate.timeout.attempt
    sooner = attempt is not None and attempt < (baseline.timeout.attempt or baseline.timeout.request)
    if new.max and (sooner or new.max > old.max):
        waits.append((attempt if attempt is not None and new.on.timeout else tail_s) + new.backoff.base + usually_s)
    hedge = candidate.hedge
    if hedge is not None and (baseline.hedge is None or hedge.delay < baseline.hedge.delay):
        waits.append(hedge.delay + usually_s)
    return max(waits)


def _policy(document: object) -> Policy | None:
    try:
        return parse_policy(document)
    except DocumentError:
        return None
