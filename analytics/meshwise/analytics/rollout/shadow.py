"""The shadow stage: what proxies say the candidate would have done with the attempts they made, judged before a canary.

Nothing is exposed meanwhile, and the arms are the same attempts twice: as they went, and as they would have gone. Of
one attempt that is known exactly whenever the candidate would not have repeated it. What a repeated one would have met
is not known; it is given the chance ``q`` that an attempt of this very window is answered well within the candidate's
timeouts, and each failure that the candidate would repeat counts as mended with that chance. Both favour the
candidate: the stage is there to end what is surely bad; the canary judges what is left.

The rules in order; the first that applies decides:

1. Too few attempts: ``hold``; after the stage's longest time ``advance``, since a canary sees more of thin traffic. But
   never without any telemetry of the edge: no data, no change.
2. The share of attempts answered well falls by 3 points or more, 3.5 standard errors from zero: ``rollback``.
3. The always-valid interval of that difference lies below zero: ``rollback``.
4. More repeated attempts than the load ceiling allows, beyond chance: ``rollback``.
5. Success surely below what the replay promised, and not above what is in force: ``rollback``.
6. The difference, by two standard errors, may still be worse than 2 points: ``hold``; after the longest time
   ``rollback`` when it is more likely than not.
7. Else ``advance``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from meshwise.analytics.load import Client
from meshwise.analytics.rollout.arms import BLOCK_S, load_ends
from meshwise.analytics.rollout.config import RolloutConfig
from meshwise.analytics.rollout.sequential import Difference
from meshwise.analytics.rollout.verdict import Verdict
from meshwise.analytics.sql import load_sql
from meshwise.analytics.steering import moment
from meshwise.contracts.policy import ANY
from meshwise.contracts.telemetry import OUTCOME_CANCELLED, OUTCOME_OK

KIND: Final = "shadow"
"""What the evidence of such a verdict says it is about."""
MAX_CELLS: Final = 2_000
"""Proxies × blocks beyond which the counts are not stored beside a verdict: about 150 KB of JSON."""
_CUTS: Final = ("attempt", "request")


@dataclass(frozen=True, slots=True)
class ShadowCell:
    """Attempts of one proxy in one block, by what came of them and what the candidate would have made of them.

    ``kept`` were answered well and would have been; ``lost`` were, and would have been cut off for good; ``again_ok``
    were, and would have been cut off and repeated; ``again_bad`` failed and would have been repeated; ``failed`` failed
    either way; ``unknown`` were ended by the timeout in force before the candidate's; ``skipped_ok`` and
    ``skipped_bad`` would not have been made. ``denied`` of them all would have wanted a retry and not got it.
    """

    instance: str
    start: int
    kept: int = 0
    lost: int = 0
    again_ok: int = 0
    again_bad: int = 0
    failed: int = 0
    unknown: int = 0
    skipped_ok: int = 0
    skipped_bad: int = 0
    cut: int = 0
    denied: int = 0

    @property
    def judged(self) -> int:
        """Attempts that the candidate would have made too."""
        return self.kept + self.lost + self.again_ok + self.again_bad + self.failed + self.unknown


def judge_shadow_from_store(
    rollout: Mapping[str, Any], client: Client, now: datetime, config: RolloutConfig | None = None
) -> Verdict:
    """Load what proxies said since ``rollout`` began and judge it."""
    config = config or RolloutConfig()
    cells = load_shadow(client, rollout, now)
    sent = 0 if cells else _sent(client, rollout, now)
    return judge_shadow(rollout, cells, now, config, sent=sent)


def load_shadow(client: Client, rollout: Mapping[str, Any], now: datetime) -> tuple[ShadowCell, ...]:
    """Return the verdicts on the shadow of ``rollout``'s candidate, by proxy and block."""
    began = moment(rollout.get("created_at"))
    policy = rollout.get("policy")
    match = policy.get("match") if isinstance(policy, Mapping) else None
    if began is None or not isinstance(policy, Mapping) or not isinstance(match, Mapping):
        return ()
    result = client.query(
        load_sql("rollout_shadow"),
        parameters={
            # A window of telemetry may have begun before the candidate; it cannot have verdicts of before.
            "start": int(began.timestamp()) - 60,
            "end": int(now.timestamp()) + 1,
            "source": match.get("source") or "",
            "destination": "" if match.get("service") == ANY else match.get("service", ""),
            "version": str(policy.get("version", 0)),
        },
    )
    return collect_shadow(result.result_rows)


def _sent(client: Client, rollout: Mapping[str, Any], now: datetime) -> int:
    """Return the attempts that proxies counted on the edge meanwhile, whether or not they judge shadows."""
    began = moment(rollout.get("created_at")) or now
    ends = load_ends(client, rollout, int(began.timestamp()), int(now.timestamp()) + 1)
    return 0 if ends is None else ends.sent


def collect_shadow(rows: Iterable[Sequence[Any]]) -> tuple[ShadowCell, ...]:
    """Sort rows of ``rollout_shadow.sql`` into cells; attempts whose caller went away are left out."""
    found: dict[tuple[str, int], dict[str, int]] = {}
    for start, instance, outcome, cut, retried, denied, skipped, attempts in rows:
        if outcome == OUTCOME_CANCELLED:
            continue
        cell = found.setdefault((str(instance), int(start)), {})
        name = _kind(outcome == OUTCOME_OK, str(cut), bool(retried), bool(skipped))
        for key in (name, *(("cut",) if cut in _CUTS else ()), *(("denied",) if denied else ())):
            cell[key] = cell.get(key, 0) + int(attempts)
    return tuple(ShadowCell(instance, start, **counts) for (instance, start), counts in sorted(found.items()))


def _kind(ok: bool, cut: str, retried: bool, skipped: bool) -> str:
    if skipped:
        return "skipped_ok" if ok else "skipped_bad"
    if cut == "unknown":
        return "unknown"
    if retried:
        return "again_ok" if ok else "again_bad"
    if not ok:
        return "failed"
    return "lost" if cut in _CUTS else "kept"


def judge_shadow(
    rollout: Mapping[str, Any], cells: Sequence[ShadowCell], now: datetime, config: RolloutConfig, *, sent: int = 0
) -> Verdict:
    """Decide whether the candidate of ``rollout``, control's document, may go to canaries at ``now``. Pure.

    ``sent`` are attempts on the edge by proxies that said nothing of the shadow, such as those within applications.
    """
    total = _total(cells)
    began = moment(rollout.get("created_at")) or now
    over = (now - began).total_seconds() >= config.shadow_max_s
    evidence: dict[str, Any] = {
        "kind": KIND,
        "at": now.isoformat(),
        "shadow": {name: value for name, value in asdict(total).items() if name not in ("instance", "start")},
        "proxies": sorted({cell.instance for cell in cells}),
        "predicted": predicted(rollout.get("evidence")),
        "inputs": _record(cells, config, sent),
    }
    if not total.judged:
        if over and sent:
            return Verdict(
                "advance",
                f"None of {sent} attempts in {config.shadow_max_s:g} s was judged: the canary decides.",
                evidence,
            )
        return Verdict("hold", "In shadow: no proxy has told yet what the candidate would have done.", evidence)
    change, now_ok, then_ok = _change(cells, total)
    repeated = total.again_ok + total.again_bad
    evidence |= {
        "success": {"in_force": round(now_ok, 6), "candidate": round(then_ok, 6)},
        "difference": {"value": round(change.value, 6), "standard_error": round(change.standard_error, 6)},
        "shares": {
            name: dict(zip(("value", "low", "high"), (round(x, 6) for x in wilson(count, total.judged)), strict=True))
            for name, count in (("timed_out", total.cut), ("retried", repeated), ("denied", total.denied))
        },
    }
    numbers = _numbers(total, change, now_ok, then_ok)
    if total.judged < config.shadow_min_attempts:
        if over:
            return Verdict("advance", f"Thin traffic in shadow, the canary decides: {numbers}.", evidence)
        return Verdict(
            "hold", f"In shadow: {total.judged} of {config.shadow_min_attempts} attempts; so far {numbers}.", evidence
        )
    errors = -change.value / max(change.standard_error, 1e-9)
    if change.value <= -config.fast_points and errors > config.fast_errors:
        return Verdict("rollback", f"Bad in shadow, nothing was exposed: {numbers}.", evidence | {"rule": "clear loss"})
    if change.below(config.harm_alpha) < 0.0:
        return Verdict("rollback", f"Worse in shadow, nothing was exposed: {numbers}.", evidence | {"rule": "loss"})
    load = 1.0 + max(0.0, repeated - 2.0 * math.sqrt(repeated)) / total.judged
    if load > config.load_ceiling:
        return Verdict(
            "rollback",
            f"Too much load in shadow, nothing was exposed: at least {load:.2f} attempts where one is made now, "
            f"the ceiling is {config.load_ceiling:.2f}; {numbers}.",
            evidence | {"rule": "load ceiling"},
        )
    promised = evidence["predicted"].get("success") or {}
    low = promised.get("low")
    if low is not None and now_ok >= then_ok and then_ok + 3.5 * change.standard_error < low - config.shadow_points:
        return Verdict(
            "rollback",
            f"Live traffic contradicts the replay, nothing was exposed: at least {low:.2%} were promised; {numbers}.",
            evidence | {"rule": "prediction"},
        )
    if change.value - 2.0 * change.standard_error < -config.shadow_points:
        if not over:
            return Verdict("hold", f"In shadow, not sure yet: {numbers}.", evidence)
        if change.value < 0.0:
            return Verdict(
                "rollback", f"Likely worse in shadow, nothing was exposed: {numbers}.", evidence | {"rule": "doubt"}
            )
    return Verdict("advance", f"Fit for a canary: {numbers}.", evidence | {"rule": "not worse"})


def judge_shadow_again(evidence: Mapping[str, Any], rollout: Mapping[str, Any]) -> Verdict | None:
    """Reach a verdict on a shadow again from its stored evidence; ``None`` where its cells were too many to be stored.

    Raises:
        ValueError: the evidence is no such verdict's.
    """
    inputs = evidence.get("inputs")
    if inputs is None:
        return None
    try:
        cells, sent = [ShadowCell(*cell) for cell in inputs["cells"]], int(inputs.get("sent", 0))
        config = RolloutConfig.model_validate(inputs["limits"])
        now = datetime.fromisoformat(str(evidence["at"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not the evidence of a verdict on a shadow: {error!r}") from error
    return judge_shadow(rollout, cells, now, config, sent=sent)


def predicted(evidence: object) -> dict[str, Any]:
    """Return what the replay behind a rollout promised: success and attempts per request, each with its interval.

    Nothing of a candidate that hedges: what a hedge would have answered no shadow can see, so that it falls short of
    the promise however right that is.
    """
    chosen = evidence.get("chosen") if isinstance(evidence, Mapping) else None
    policy = chosen.get("policy") if isinstance(chosen, Mapping) else None
    if isinstance(policy, Mapping) and policy.get("hedge"):
        return {}
    replay = chosen.get("replay") if isinstance(chosen, Mapping) else None
    if not isinstance(replay, Mapping):
        return {}
    return {name: replay[name] for name in ("success", "attempts_per_request") if isinstance(replay.get(name), Mapping)}


def wilson(count: int, total: int, z: float = 1.96) -> tuple[float, float, float]:
    """Return a share and its 95 % interval. Source: E. B. Wilson, "Probable inference" (1927)."""
    if not total:
        return math.nan, 0.0, 1.0
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return share, max(0.0, middle - reach), min(1.0, middle + reach)


def _record(cells: Sequence[ShadowCell], config: RolloutConfig, sent: int) -> dict[str, Any] | None:
    if len(cells) > MAX_CELLS:
        return None
    return {"sent": sent, "cells": [list(astuple(cell)) for cell in cells], "limits": config.model_dump()}


_COLUMNS: Final = tuple(name for name in ShadowCell.__slots__ if name not in ("instance", "start"))


def _total(cells: Sequence[ShadowCell]) -> ShadowCell:
    return ShadowCell("", 0, **{name: sum(getattr(cell, name) for cell in cells) for name in _COLUMNS})


def _change(cells: Sequence[ShadowCell], total: ShadowCell) -> tuple[Difference, float, float]:
    """Return candidate − in force per judged attempt, and both shares of attempts answered well.

    The variance is the greatest of that of single attempts and of those clustered by proxy and block, or by block.
    """
    n = total.judged
    q = total.kept / n
    gain = q * total.again_bad - total.lost - total.skipped_ok - (1.0 - q) * total.again_ok
    mean = gain / n
    squares = q * q * total.again_bad + total.lost + total.skipped_ok + (1.0 - q) ** 2 * total.again_ok
    # One more attempt that differs: that nothing did yet is not certainty.
    single = max(0.0, (squares + 1.0) / (n + 1.0) - mean * mean) / n
    blocks = sorted({cell.start // BLOCK_S for cell in cells})
    by_block = [_total([cell for cell in cells if cell.start // BLOCK_S == block]) for block in blocks]
    variance = max(single, _clustered(cells, q, mean, n), _clustered(by_block, q, mean, n))
    now_ok = (total.kept + total.lost + total.again_ok + total.skipped_ok) / n
    return Difference(mean, variance), min(1.0, now_ok), max(0.0, min(1.0, now_ok + mean))


def _clustered(cells: Sequence[ShadowCell], q: float, mean: float, n: int) -> float:
    if len(cells) < 3:
        return 0.0
    counts = np.array([cell.judged for cell in cells], dtype=float)
    gains = np.array([q * c.again_bad - c.lost - c.skipped_ok - (1.0 - q) * c.again_ok for c in cells], dtype=float)
    residual = float(((gains - mean * counts) ** 2).sum()) * len(cells) / (len(cells) - 1)
    return residual / (n * n)


def _numbers(total: ShadowCell, change: Difference, now_ok: float, then_ok: float) -> str:
    share, low, high = wilson(total.cut, total.judged)
    return (
        f"of {total.judged} attempts the candidate would have cut off {share:.1%} ({low:.1%} to {high:.1%}), repeated "
        f"{total.again_ok + total.again_bad} and been denied {total.denied}; {then_ok:.2%} answered well instead of "
        f"{now_ok:.2%} ({change.value * 100:+.1f} points, standard error {change.standard_error * 100:.1f})"
    )
