"""What a proposal shows for itself: sentence, curve, intervals, assumptions, and what would change our mind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from meshwise.analytics.proposal.choice import Gain, Trial
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.replay.simulate import ASSUMPTIONS
from meshwise.analytics.replay.survival import KaplanMeier
from meshwise.contracts.duration import format_duration
from meshwise.contracts.policy import Policy


def proposal_id(key: AttemptKey, status: str, policy: Policy | None, code: str = "") -> str:
    """Return an id that is equal whenever edge, route, status, cause and the policy's effect are."""
    document = None
    if policy is not None:
        document = {k: v for k, v in policy.to_document().items() if k not in ("version", "reason")}
    text = json.dumps([*key, status, code, document], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def label(key: AttemptKey) -> str:
    """Return an edge and route as people read it."""
    return f"{key.source} → {key.destination}" + (f" {key.route}" if key.route else "")


def percent(share: float) -> str:
    """Return a share as text with two decimals where they matter."""
    return f"{share * 100:.2f} %" if share > 0.99 or share < 0.01 else f"{share * 100:.1f} %"


def seconds(value: float) -> str:
    """Return a latency as text, in milliseconds below a second."""
    return f"{value * 1000:.0f} ms" if value < 1.0 else f"{value:.2f} s"


def retries(policy: Policy) -> str:
    """Return the retries of a policy as text."""
    return {0: "no retry", 1: "1 retry", 2: "2 retries"}[policy.retry.max]


def limits(policy: Policy) -> str:
    """Return timeout, retries and hedge of a policy in a few words."""
    if policy.timeout.attempt is None:
        text = f"{format_duration(policy.timeout.request)} per request"
    else:
        text = f"{format_duration(policy.timeout.attempt)} per attempt"
    if policy.hedge is None:
        return f"{text} and {retries(policy)}"
    return f"{text}, {retries(policy)} and a hedge after {format_duration(policy.hedge.delay)}"


def sentence(key: AttemptKey, best: Trial, current: Trial, by: str) -> str:
    """Say in one sentence what is proposed, what it gives, what it costs, and from how much data."""
    new, old = best.result, current.result
    success = f"{percent(new.success.value)} of requests would succeed instead of {percent(old.success.value)}"
    tail = f"p99 {seconds(old.p99.value)} → {seconds(new.p99.value)}"
    load = f"{(new.attempts_per_request.value / old.attempts_per_request.value - 1.0) * 100:+.0f} % attempts"
    mean = f"the mean wait {seconds(old.mean_good.value)} → {seconds(new.mean_good.value)}"
    gains = {"p99": f"{tail}, {success}", "wait": f"{tail}, {success}", "mean": f"{mean}, {tail}, {success}"}.get(
        by, f"{success}, {tail}"
    )
    return (
        f"With {limits(best.policy)} on {label(key)}, {gains}, {load} "
        f"(replay of {new.samples} requests in {new.blocks} blocks; 95 % interval of success "
        f"{percent(new.success.low)} to {percent(new.success.high)})."
    )


def relief_sentence(key: AttemptKey, best: Trial, current: Trial, reason: str) -> str:
    """Say in one sentence what fewer retries take off an overloaded callee."""
    saved = 1.0 - best.result.attempts_per_request.value / current.result.attempts_per_request.value
    return (
        f"{label(key)} looks overloaded ({reason}); {retries(best.policy)} instead of {retries(current.policy)} takes "
        f"{saved:.0%} of the attempts off it."
    )


def window_of(attempts: Attempts) -> dict[str, object]:
    """Return first and last start of ``attempts`` and their number."""
    if not len(attempts):
        return {"attempts": 0}
    return {
        "start": datetime.fromtimestamp(float(attempts.start[0]), UTC).isoformat(),
        "end": datetime.fromtimestamp(float(attempts.start[-1]), UTC).isoformat(),
        "attempts": len(attempts),
    }


def observed(attempts: Attempts) -> dict[str, object]:
    """Return what was recorded, before any replay: outcomes, and how long attempts take with cuts accounted for."""
    names, counts = np.unique(attempts.outcome, return_counts=True)
    survival = KaplanMeier().fit(attempts.duration, ~attempts.censored)
    return {
        "outcomes": {str(name): int(count) for name, count in zip(names, counts, strict=True)},
        "attempts_cut_off": int(attempts.censored.sum()),
        "hedges": int(attempts.hedge.sum()),
        "in_shadow": int(attempts.shadow.sum()),
        "requests_per_s": round(float(attempts.load[attempts.ordinal == 1].mean()), 3) if len(attempts) else 0.0,
        "endpoints": len(np.unique(attempts.endpoint)),
        "duration_s": {f"p{q * 100:g}": _quantile(survival, q) for q in (0.5, 0.9, 0.95, 0.99)},
    }


def _quantile(survival: KaplanMeier, q: float) -> dict[str, float | None]:
    """Return a quantile with its 95 % interval, ``None`` for what lies beyond everything observed."""
    low, high = survival.quantile_interval(q)
    ends = {"value": survival.quantile(q), "low": low, "high": high}
    return {name: round(end, 6) if np.isfinite(end) else None for name, end in ends.items()}


def curve(trials: Iterable[Trial]) -> list[dict[str, object]]:
    """Return one point per policy tried."""
    return [
        {
            "attempt_timeout_s": trial.policy.timeout.attempt,
            "request_timeout_s": trial.policy.timeout.request,
            "retries": trial.policy.retry.max,
            "hedge_delay_s": None if trial.policy.hedge is None else trial.policy.hedge.delay,
            "backoff_s": trial.policy.retry.backoff.base,
            "budget_percent": trial.policy.retry.budget.percent,
            "success": round(trial.result.success.value, 6),
            "success_low": round(trial.result.success.low, 6),
            "success_high": round(trial.result.success.high, 6),
            "p99": round(trial.result.p99.value, 6),
            "p99_good": round(trial.result.p99_good.value, 6),
            "amplification": round(trial.result.attempts_per_request.value, 6),
        }
        for trial in trials
    ]


def shown(trial: Trial | None) -> dict[str, Any] | None:
    """Return a trial as JSON-ready values."""
    return None if trial is None else {"policy": trial.policy.to_document(), "replay": trial.result.to_document()}


def assumptions(policy: Policy, repeatable: float) -> list[str]:
    """Return what must hold for the prediction to hold."""
    found = [*ASSUMPTIONS, f"requests repeat only if their method is one of {', '.join(policy.retry.methods)}"]
    if repeatable < 1.0:
        found.append(f"{percent(repeatable)} of the requests have such a method; the others get no retry on timeout")
    return found


def relief(best: Policy, repeatable: float) -> list[str]:
    """Return what must hold where fewer retries are proposed to take load off a callee."""
    return [
        "retries add load to a callee that has too much of it; neither replay nor rehearsal can show the relief",
        *assumptions(best, repeatable),
    ]


def would_change_mind(best: Trial, change: Gain, config: ProposalConfig, *, relieves: bool = False) -> list[str]:
    """Return the observations that would withdraw a proposal, or one that ``relieves`` an overloaded callee."""
    found = ["a canary whose share of good requests is not at least that of its control group"]
    if relieves:
        found.insert(0, "failures that no longer look like overload: then retries may be worth their load again")
    else:
        found[:0] = [
            f"attempts per request above {config.max_amplification:g}, or 429, 503 or refused connections on this edge",
            "retries that fail as often as the attempts they repeat: then the failures stick to the request",
        ]
    if best.policy.timeout.attempt is not None:
        found.insert(
            0,
            f"healthy answers slower than {format_duration(best.policy.timeout.attempt)}: "
            "the attempt timeout would cut them off",
        )
    if best.policy.hedge is not None:
        found.insert(
            0,
            f"more than {best.policy.hedge.max_extra_percent:g} % of the requests without an answer after "
            f"{format_duration(best.policy.hedge.delay)}: then there are not enough hedges for those that need one",
        )
    low, high = sorted((abs(change.reason.low), abs(change.reason.high)))
    shown_as = {
        "success": f"{low * 100:.2f} to {high * 100:.2f} points of success",
        "p99": f"{seconds(low)} to {seconds(high)} of p99",
        "mean": f"{seconds(low)} to {seconds(high)} of the mean wait",
        "wait": f"{seconds(low)} to {seconds(high)} of the p99 of all waits",
        "load": f"{low:.3f} to {high:.3f} attempts per request",
    }[change.by]
    return [*found, f"a gain outside the predicted {shown_as}"]


def dumps(document: Sequence[object] | dict[str, object] | None) -> str:
    """Return JSON text, empty for ``None``; not-a-number and infinities are refused rather than written."""
    return "" if document is None else json.dumps(document, allow_nan=False, ensure_ascii=False)
