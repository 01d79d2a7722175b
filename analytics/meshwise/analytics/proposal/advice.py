"""Propose one timeout-and-retry policy per route, or say why not.

The order of questions, each of which ends in a finding with its reason:

1. Enough data, fresh, of one regime, and a replay that reproduces what was observed? Else ``refused``.
2. May this edge retry more? Overload, side effects, causes further down, retries that did not help: each lowers the
   most retries tried. Where nothing else would help, ``refused`` with that reason.
3. Does the best of the grid gain enough over the policy in force, with an interval that leaves out zero? Else
   ``unchanged``.
4. Does the mesh come back after a trigger with it, as it does now? The best that does is ``proposed``; where none of
   the best few does, or where the interval of the success it is for is too wide to mean anything, ``refused``.
   Fewer retries for an overloaded callee need no gain that replay can see, but pass the same rehearsal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from meshwise.analytics.proposal import evidence as show
from meshwise.analytics.proposal.candidates import Grid, fits_chain, governing, grid, same
from meshwise.analytics.proposal.ceiling import load_ceiling
from meshwise.analytics.proposal.choice import MEAN_GAIN, Trial, gain
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.ends import EdgeEnds
from meshwise.analytics.proposal.gates import (
    cause_below,
    cause_in_attempts,
    overload,
    repeatable_share,
    retries_disappoint,
)
from meshwise.analytics.proposal.regime import Regime, split
from meshwise.analytics.proposal.search import Search
from meshwise.analytics.proposal.trial_run import Gate, Memory, Rehearsed, gate
from meshwise.analytics.rehearsal.config import RehearsalConfig
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.simulate import replay, wilson
from meshwise.analytics.world import EdgeKey, World
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy import Policy
from meshwise.contracts.rows import ProposalFinding

_MODEL_ERROR = 0.02
"""Most the replay of the policy in force may miss the observed success by, beyond its interval."""
_FEW_RETRIES = 1.05
"""Attempts per request up to which retries add too little load for their removal to relieve anybody."""
_REHEARSED = 3
"""Policies rehearsed at most before a proposal is refused: the best ones, each against the policy in force."""


class _RefusedError(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True, slots=True)
class _Ceiling:
    """Most retries to try, and what holds them down."""

    retries: int
    code: str = ""
    reason: str = ""


def propose(
    attempts: Attempts,
    world: World,
    policies_in_force: Sequence[Policy],
    config: ProposalConfig,
    *,
    rehearsal: RehearsalConfig | None = None,
    rehearsed: Memory | None = None,
    ends: Mapping[EdgeKey, EdgeEnds] | None = None,
    only: AttemptKey | None = None,
) -> list[ProposalFinding]:
    """Return one finding per route with attempts, in order of source, destination and route.

    Deterministic: equal attempts, policies and settings give equal findings, ids included. ``world`` supplies the end
    of the window, what happens on the edges further down, and the graph on which proposals are rehearsed;
    ``rehearsed`` remembers rehearsals from one call to the next, ``ends`` is what both ends of each edge counted.
    ``only`` leaves out every other route, though not what its attempts say of this one.
    """
    policies, rehearsal, counted = tuple(policies_in_force), rehearsal or RehearsalConfig(), ends or {}
    attempts = attempts.counted(world)
    found = []
    for key, group in attempts.groups():
        if not key.source or not key.destination or only not in (None, key):
            continue
        route = _Route(
            key,
            group,
            world,
            policies,
            config,
            everything=attempts,
            rehearse=gate(key, attempts, world, policies, rehearsal, memory=rehearsed),
            ends=counted.get(EdgeKey(key.source, key.destination)),
        )
        found.append(route.finding())
    return found


class _Route:
    def __init__(
        self,
        key: AttemptKey,
        attempts: Attempts,
        world: World,
        policies: tuple[Policy, ...],
        config: ProposalConfig,
        *,
        everything: Attempts,
        rehearse: Gate,
        ends: EdgeEnds | None,
    ) -> None:
        self.everything, self.ends = everything, ends
        self.rehearse = rehearse
        self.key, self.attempts, self.world, self.policies, self.config = key, attempts, world, policies, config
        self.end = world.window.end.timestamp()
        self.current = governing(key, policies)

    def finding(self) -> ProposalFinding:
        """Return what is proposed, or why nothing is."""
        try:
            return self._judge()
        except _RefusedError as refusal:
            return self._finding(
                "refused",
                f"No proposal for {show.label(self.key)}: {refusal.reason}.",
                code=refusal.code,
                evidence={"reason": refusal.code, "window": show.window_of(self.attempts)},
            )

    def _judge(self) -> ProposalFinding:
        config = self.config
        self._refuse_thin(self.attempts, "in the window")
        if self.end - float(self.attempts.start[-1]) > config.max_age_s:
            age = self.end - float(self.attempts.start[-1])
            raise _RefusedError("stale", f"the newest attempt is {age:.0f} s old, more than {config.max_age_s:.0f} s")
        doubt = "" if self.ends is None else self.ends.disagreement(config.max_disagreement)
        if doubt:
            raise _RefusedError("ends", doubt)
        regime = split(self.attempts, config.block_s, config.min_blocks)
        if regime.cuts:
            self._refuse_thin(regime.now, "since the failure share last changed")
        if regime.is_drifting:
            raise _RefusedError(
                "drifting", "the failure share is still changing; advice would fit neither before nor after"
            )
        blocks = arrange(regime.now, config.block_s)
        current = Trial(self.current, replay(blocks, self.current, config.simulated_requests, config.seed))
        self._refuse_unlike(current, regime.now)
        ceiling = self._ceiling(regime.now)
        tried = self._grid(regime, ceiling)
        most = load_ceiling(self.key, blocks, regime.now, self.world, self.policies, config=config)
        search = Search(
            blocks,
            current,
            config,
            lambda policy: self._is_open(policy, ceiling),
            None if most is None else most.attempts,
        )
        # A proposal costs a replay per candidate, and most edges are well: no need to try what cannot gain.
        if ceiling.code or self._may_gain(current, tried):
            search.run(tried, regime.now)
        elif self._hedge_may_gain(current, regime.now):
            search.hedge(tried.own, regime.now)
        allowed = search.allowed()
        evidence = self._evidence(regime, tried, search, ceiling)
        evidence["load_ceiling"] = None if most is None else {"attempts": round(most.attempts, 4), "why": most.reason}
        relief = self._relief(allowed, current) if ceiling.code == "overload" else []
        if not relief:
            if not allowed:
                return self._unchanged(current, None, evidence, ceiling)
            if not gain(allowed[0], current, config).is_worth_it:
                return self._unchanged(current, allowed[0], evidence, ceiling)
        passed, rehearsed = self._rehearsed(relief or allowed, current, relieves=bool(relief))
        best, runner_up = passed[0], passed[1] if len(passed) > 1 else None
        change = gain(best, current, config)
        if relief:
            change = replace(change, by="load")  # the point of it, whatever else it is worth
        elif change.by == "success" or search.promises_more(best):
            self._refuse_vague(best)
        evidence["chosen"], evidence["runner_up"] = show.shown(best), show.shown(runner_up)
        evidence["rehearsal"] = rehearsed.document
        evidence["gain"] = {
            name: [round(v, 6) for v in (one.value, one.low, one.high)]
            for name, one in (
                ("success", change.success),
                ("p99_s", change.p99),
                ("mean_s", change.mean),
                ("wait_s", change.wait),
                ("load", change.load),
            )
        } | {"by": change.by}
        repeatable = repeatable_share(regime.now, best.policy)
        evidence["assumptions"] = (show.relief if relief else show.assumptions)(best.policy, repeatable)
        evidence["would_change_mind"] = show.would_change_mind(best, change, config, relieves=bool(relief))
        if relief:
            text = show.relief_sentence(self.key, best, current, ceiling.reason)
        else:
            text = show.sentence(self.key, best, current, change.by)
        return self._finding("proposed", text, policy=best.policy, evidence=evidence, samples=best.result.samples)

    def _refuse_thin(self, attempts: Attempts, where: str) -> None:
        config = self.config
        blocks = len({math.floor(start / config.block_s) for start in attempts.start[attempts.ordinal == 1].tolist()})
        if len(attempts) < config.min_attempts or blocks < config.min_blocks:
            raise _RefusedError(
                "thin",
                f"{len(attempts)} attempts in {blocks} blocks {where}; "
                f"it takes {config.min_attempts} in {config.min_blocks}",
            )

    def _refuse_unlike(self, current: Trial, now: Attempts) -> None:
        """Refuse when replaying the policy in force does not give what callers saw under it."""
        last = now.final & (now.outcome != "cancelled") & (now.policy_version == self.current.version)
        if last.sum() < self.config.min_attempts:
            return
        seen, replayed = float(now.ok[last].mean()), current.result.success
        low, high = wilson(seen * float(last.sum()), float(last.sum()))
        miss = max(replayed.low - high, low - replayed.high, 0.0)
        if miss > _MODEL_ERROR:
            raise _RefusedError(
                "model",
                f"replaying the policy in force gives {show.percent(replayed.value)} success, "
                f"but {show.percent(seen)} was observed",
            )

    def _refuse_vague(self, best: Trial) -> None:
        """Refuse what the replay can say next to nothing about: more blocks may show that another policy is better."""
        success = best.result.success
        if success.high - success.low > self.config.max_interval:
            raise _RefusedError(
                "vague",
                f"with {show.limits(best.policy)}, {show.percent(success.low)} to {show.percent(success.high)} would "
                "succeed, which is too wide an interval; it takes more blocks, or such as differ less",
            )

    def _ceiling(self, now: Attempts) -> _Ceiling:
        config, present = self.config, self.current.retry.max
        repeatable = repeatable_share(now, self.current)
        load = overload(now, config).reason
        below = cause_below(self.key, self.world, config) or cause_in_attempts(
            self.key, self.everything, float(now.start[0]), config
        )
        stuck = retries_disappoint(now)
        if load:
            return _Ceiling(present, "overload", f"{load}: more retries would feed the overload")
        if below:
            return _Ceiling(
                present, "below", f"its failures follow {below}; only the layer next to a fault should retry"
            )
        if repeatable == 0.0:
            methods = ", ".join(sorted({str(method) for method in now.method}))
            return _Ceiling(
                present,
                "side_effects",
                f"{methods} is not idempotent, so a request must not be sent again after a timeout",
            )
        if stuck:
            return _Ceiling(present, "stuck", f"{stuck}: the failures stick to the request")
        return _Ceiling(config.max_retries)

    def _grid(self, regime: Regime, ceiling: _Ceiling) -> Grid:
        try:
            tried = grid(
                self.key,
                self.current,
                self.policies,
                regime,
                self.config,
                most_retries=min(ceiling.retries, self.config.max_retries),
            )
        except DocumentError as error:
            raise _RefusedError("chain", str(error)) from error
        if not ceiling.code:
            return tried
        # Held down: nothing may wait longer, retry more or retry on more than now; with fewer retries all else stays.
        kept = [p for p in tried.variations if _is_tamer(p, self.current)]
        for most in range(self.current.retry.max):
            fewer = replace(tried.own, retry=replace(tried.own.retry, max=most))
            kept += [] if any(same(fewer, known) for known in kept) else [fewer]
        return replace(tried, variations=tuple(kept))

    def _is_open(self, policy: Policy, ceiling: _Ceiling) -> bool:
        """Tell whether a policy may be tried: what its callees' timeouts leave room for, and no more if held down."""
        if policy.timeout.request < self.current.timeout.request and not fits_chain(policy, self.policies):
            return False
        return not ceiling.code or _is_tamer(policy, self.current)

    def _may_gain(self, current: Trial, tried: Grid) -> bool:
        """Tell whether any candidate could be worth it: p99 after a retry is never below the shortest safe attempt."""
        result, config = current.result, self.config
        if result.attempts_per_request.value >= 1.0 + config.min_load_gain:
            return True
        if result.success.value + config.min_success_gain <= 1.0:
            return True
        return tried.floor_s is not None and tried.floor_s < (1.0 - config.min_p99_gain) * result.p99_good.value

    def _hedge_may_gain(self, current: Trial, now: Attempts) -> bool:
        """Tell whether a hedge alone could be worth it, of a twentieth of the requests.

        p99 is then not below the time that a twentieth takes longer than, and no mean is below the usual answer.
        """
        result, config = current.result, self.config
        if not config.hedge_percent or not now.ok.any():
            return False
        usual = float(np.median(now.duration[now.ok]))
        shorter = result.p95.value + usual < (1.0 - config.min_p99_gain) * result.p99_good.value
        return shorter or usual <= (1.0 - MEAN_GAIN) * result.mean_good.value

    def _rehearsed(self, allowed: list[Trial], current: Trial, *, relieves: bool) -> tuple[list[Trial], Rehearsed]:
        """Return the trials from the best one that passes its rehearsal on, and that rehearsal.

        Refused when none of the first few that are worth a change passes; one that ``relieves`` an overload always is.
        """
        objection = ""
        for position, trial in enumerate(allowed[:_REHEARSED]):
            if not relieves and not gain(trial, current, self.config).is_worth_it:
                break
            found = self.rehearse(self.current, trial.policy)
            if not found.objection:
                return allowed[position:], found
            objection = objection or f"with {show.limits(trial.policy)}, {found.objection}"
        raise _RefusedError("rehearsal", objection)

    def _relief(self, allowed: list[Trial], current: Trial) -> list[Trial]:
        """Return the trials that take retries off an overloaded callee and change nothing else, the best first.

        None where retries are too few to matter.
        """
        if current.result.attempts_per_request.value <= _FEW_RETRIES:
            return []
        now = self.current
        less = [trial for trial in allowed if trial.policy.retry.max < now.retry.max]
        return [trial for trial in less if trial.policy.timeout.attempt == now.timeout.attempt]

    def _unchanged(
        self, current: Trial, best: Trial | None, evidence: dict[str, object], ceiling: _Ceiling
    ) -> ProposalFinding:
        evidence["runner_up"] = show.shown(best)
        success = current.result.success
        if ceiling.code and success.value < 1.0 - self.config.min_success_gain:
            evidence["reason"] = ceiling.code
            return self._finding(
                "refused",
                f"No proposal for {show.label(self.key)} ({show.percent(success.value)} succeed): {ceiling.reason}.",
                code=ceiling.code,
                evidence=evidence,
                samples=current.result.samples,
            )
        text = (
            f"{show.label(self.key)} stays as it is: {show.percent(success.value)} succeed with p99 "
            f"{show.seconds(current.result.p99.value)}, and no policy tried is better by "
            f"{self.config.min_success_gain * 100:g} points of success, {self.config.min_p99_gain:.0%} of p99 or "
            f"{self.config.min_load_gain:.0%} of the attempts."
        )
        return self._finding("unchanged", text, evidence=evidence, samples=current.result.samples)

    def _evidence(self, regime: Regime, tried: Grid, search: Search, ceiling: _Ceiling) -> dict[str, object]:
        return {
            "window": show.window_of(regime.now),
            "normal": show.window_of(regime.normal),
            "regime_changes": regime.cuts,
            "observed": show.observed(regime.now),
            "current": show.shown(search.current),
            "chosen": None,
            "runner_up": None,
            "curve": show.curve([search.current, *search.grid]),
            "refinements": show.curve(search.more),
            "shortest_safe_attempt_s": tried.floor_s,
            "sick_endpoints": list(regime.sick),
            "held_down_by": ceiling.reason,
            "checked_at_both_ends": self.ends is not None and self.ends.arrived > 0,
        }

    def _finding(
        self,
        status: str,
        sentence: str,
        *,
        evidence: dict[str, object],
        policy: Policy | None = None,
        code: str = "",
        samples: int | None = None,
    ) -> ProposalFinding:
        document = None
        if policy is not None:
            document = {**policy.to_document(), "reason": sentence[:2000], "version": self.current.version}
        return ProposalFinding(
            id=show.proposal_id(self.key, status, policy or self.current, code),
            created_at=datetime.fromtimestamp(self.end, UTC),
            source=self.key.source,
            destination=self.key.destination,
            route=self.key.route,
            status=status,
            sentence=sentence,
            samples=len(self.attempts) if samples is None else samples,
            policy=show.dumps(document),
            current=show.dumps(self.current.to_document()),
            evidence=show.dumps(evidence),
        )


def _is_tamer(policy: Policy, current: Policy) -> bool:
    before, after = current.retry, policy.retry
    longest = current.timeout.attempt or current.timeout.request
    return (
        after.max <= before.max
        and policy.hedge in (None, current.hedge)
        # Failing sooner would not relieve the callee, and leaves callers in doubt about what has side effects.
        and policy.timeout.request == current.timeout.request
        and after.budget.percent <= before.budget.percent
        and (after.max == 0 or after.on.connect <= before.on.connect)
        and (policy.timeout.attempt or policy.timeout.request) <= longest
        and after.on.timeout <= before.on.timeout
        and (after.max == 0 or after.on.reset <= before.on.reset)
        and set(after.on.codes) <= set(before.on.codes)
    )


__all__ = ["propose"]
