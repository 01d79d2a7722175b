"""Whether one more attempt is right.

All rules are here, in the order they are asked:

1. The policy wants a retry after this kind of failure, and allows any at all.
2. ``max``: fewer retries were made than it allows.
3. ``method``: the method may be repeated, or the request provably never reached the application, or it carries the
   idempotency key that the policy names.
4. ``body_too_large``: the body is still at hand.
5. ``pushback``: the server does not forbid it (gRPC alone); the wait it names, by ``Retry-After`` over HTTP, replaces
   the back-off.
6. ``deadline``: the back-off ends before the request's deadline does.
7. ``budget``: the cluster's retry budget allows one more; asked last, because the answer spends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from meshwise.contracts import telemetry
from meshwise.contracts.policy import Backoff, Retry, RetryOn


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed. ``reached`` is false when the application provably never saw the request.

    ``grpc`` is the name of a gRPC call's status. ``pushback`` is how many seconds the server wants a retry to wait,
    below zero when it wants none. ``refused``: an endpoint that was connected to gave the request back unseen.
    """

    outcome: str
    status: int = 0
    reached: bool = True
    grpc: str = ""
    pushback: float | None = None
    refused: bool = False

    @property
    def reason(self) -> str:
        """Why a retry is made, in a word: the status when there was an answer, else the outcome."""
        if self.outcome in (telemetry.OUTCOME_OK, telemetry.OUTCOME_ERROR):
            return self.grpc or str(self.status)
        return self.outcome


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about the request when an attempt has failed. Times are monotonic seconds."""

    retries_made: int
    method: str
    has_key: bool
    replayable: bool
    now: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Retry after ``wait`` seconds, or not (``wait`` is ``None``) with the reason in ``denied``.

    ``denied`` is empty when the policy did not want a retry in the first place.
    """

    wait: float | None = None
    denied: str = ""


def wanted(on: RetryOn, failure: Failure) -> bool:
    """Tell whether a policy names this kind of failure as worth another attempt."""
    if failure.status in on.codes or failure.grpc in on.grpc:
        return True
    if failure.outcome == telemetry.OUTCOME_CONNECT:
        return on.refused if failure.refused else on.connect
    if failure.outcome == telemetry.OUTCOME_RESET:
        return on.reset
    if failure.outcome == telemetry.OUTCOME_TIMEOUT:
        return on.timeout
    return False


def decide(
    retry: Retry,
    failure: Failure,
    situation: Situation,
    *,
    withdraw: Callable[[float], bool],
    rng: Callable[[], float],
) -> Verdict:
    """Return the verdict by the rules on top of this module. ``rng`` returns a number in [0, 1)."""
    if retry.max == 0 or not wanted(retry.on, failure):
        return Verdict()
    if situation.retries_made >= retry.max:
        return Verdict(denied="max")
    if failure.reached and not situation.has_key and situation.method not in retry.methods:
        return Verdict(denied="method")
    if not situation.replayable:
        return Verdict(denied="body_too_large")
    if failure.pushback is not None and failure.pushback < 0.0:
        return Verdict(denied="pushback")
    wait = (
        failure.pushback if failure.pushback is not None else backoff(retry.backoff, situation.retries_made + 1, rng())
    )
    if situation.now + wait >= situation.deadline:
        return Verdict(denied="deadline")
    if not withdraw(situation.now):
        return Verdict(denied="budget")
    return Verdict(wait=wait)


def backoff(params: Backoff, ordinal: int, share: float) -> float:
    """Seconds to wait before retry ``ordinal`` (from 1); ``share`` in [0, 1) is the jitter's draw."""
    return share * min(params.max, params.base * 2.0 ** (ordinal - 1))
