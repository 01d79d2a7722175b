"""What a candidate policy would have done with an attempt that was made under the one in force.

Nothing here steers traffic. Per attempt, in this order:

1. ``skipped``: the candidate was done with the request before, so it would not have made this attempt at all.
2. ``timeout``: ``attempt`` or ``request`` when no answer had begun by the candidate's attempt timeout, or no complete
   one by its request timeout, whichever is earlier; ``unknown`` when the policy in force cut the attempt off sooner
   than the candidate would have, so nobody knows what would have come; ``none`` otherwise.
3. ``retry`` or ``denied``: what the rules of ``cluster.retry`` say under the candidate about the failure, or about the
   time-out that the candidate makes of it, at the moment it would have made it. The candidate has a retry budget of
   its own, spent by its own verdicts.

What a repeated attempt at another moment would have met is not known here; replay over recorded attempts estimates it.
"""

from __future__ import annotations

from collections.abc import Callable

from meshwise.contracts import telemetry
from meshwise.contracts.policy import Policy
from meshwise.proxy.cluster import retry
from meshwise.proxy.cluster.budget import RetryBudget
from meshwise.proxy.telemetry.records import ShadowVerdict


class ShadowPolicy:
    """One candidate as it applies to one cluster."""

    __slots__ = ("attempt_s", "budget", "request_s", "retry", "version")

    def __init__(self, candidate: Policy, budget: RetryBudget) -> None:
        self.budget = budget
        self.retry = candidate.retry
        self.attempt_s = candidate.timeout.attempt
        self.request_s = candidate.timeout.request
        self.version = candidate.version

    def begin(self, now: float, asked_s: float | None) -> Trial:
        """Follow a request that began at ``now``, whose caller waits ``asked_s`` seconds at most."""
        self.budget.request(now)
        limit = self.request_s if asked_s is None else min(self.request_s, asked_s)
        return Trial(self, now + limit)


class Trial:
    """One request under a candidate."""

    __slots__ = ("_over", "deadline", "policy")

    def __init__(self, policy: ShadowPolicy, deadline: float) -> None:
        self.policy = policy
        self.deadline = deadline
        self._over = False

    def judge(
        self,
        situation: retry.Situation,
        failure: retry.Failure | None,
        *,
        outcome: str,
        started: float,
        answered: float,
        reached: bool,
        rng: Callable[[], float],
    ) -> ShadowVerdict:
        """Return the verdict on an attempt that has ended.

        ``failure`` is how it failed, if it did; ``answered`` is when an answer began, 0 without one; ``reached`` is
        whether the endpoint may have got the request. Times are monotonic seconds, ``situation.now`` is the end.
        """
        policy = self.policy
        if self._over:
            return ShadowVerdict(policy.version, skipped=True)
        self._over = True
        ended = situation.now
        cut = self._cut_by(outcome, started, answered, ended)
        if cut == "attempt" and policy.attempt_s is not None:
            # What is left of the candidate's time counts from its own time-out, not from when the attempt really ended.
            situation = retry.Situation(
                retries_made=situation.retries_made,
                method=situation.method,
                has_key=situation.has_key,
                replayable=situation.replayable,
                now=started + policy.attempt_s,
                deadline=situation.deadline,
            )
            failure = retry.Failure(telemetry.OUTCOME_TIMEOUT, reached=reached)
        elif cut != "none":
            failure = None
        if failure is None:
            return ShadowVerdict(policy.version, cut)
        verdict = retry.decide(
            policy.retry, failure, situation, withdraw=lambda _: policy.budget.withdraw(ended), rng=rng
        )
        if verdict.wait is None:
            return ShadowVerdict(policy.version, cut, denied=verdict.denied)
        self._over = False
        return ShadowVerdict(policy.version, cut, retry=failure.reason)

    def _cut_by(self, outcome: str, started: float, answered: float, ended: float) -> str:
        """Return which limit of the candidate would have ended an attempt, by the second rule."""
        limit = self.policy.attempt_s
        if limit is not None and started + limit < self.deadline and (answered or ended) >= started + limit:
            return "attempt"
        if ended >= self.deadline:
            return "request"
        return "unknown" if outcome == telemetry.OUTCOME_TIMEOUT else "none"
