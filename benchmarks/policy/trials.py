"""One scenario and seed: record, propose, apply, record again; then judge by the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.policy import scenarios
from benchmarks.policy.recording import EPOCH_S, counted, recorded
from benchmarks.policy.rivals import oracle, rivals
from benchmarks.policy.system import Run, Scenario, draw, run
from meshwise.analytics.proposal.advice import propose
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.blocks import arrange
from meshwise.analytics.replay.simulate import ReplayResult, replay
from meshwise.analytics.world import World
from meshwise.contracts.policy import Budget, Hedge, Policy, Retry, RetryOn, Timeout, parse_policy

MAX_ROUNDS: Final = 8
"""Proposals applied one after the other at most; each is a canary of its own in a mesh."""
_REPLAYED: Final = 3
"""Policies besides those of the loop whose replay is checked per trial."""


@dataclass(frozen=True)
class Size:
    """How many requests are played: to compare policies with the oracle, and to know a policy's truth."""

    compared: int = 40_000
    truth: int = 120_000


@dataclass(frozen=True)
class Prediction:
    """A replay of a policy against its truth. Shares 0–1, latencies in seconds.

    ``window_…`` is what the policy gives on the very requests and faults recorded (what a replay predicts), ``true_…``
    what it gives in the long run (what the interval is for).
    """

    policy: str
    success: float
    low: float
    high: float
    window_success: float
    true_success: float
    p99: float
    p99_low: float
    p99_high: float
    window_p99: float
    true_p99: float

    @property
    def covers(self) -> bool:
        """True where the true success lies in its interval."""
        return self.low <= self.true_success <= self.high

    @property
    def covers_p99(self) -> bool:
        """True where the true p99 lies in its interval."""
        return self.p99_low <= self.true_p99 <= self.p99_high


@dataclass(frozen=True)
class Outcome:
    """What a policy gives in truth."""

    policy: str
    goodput: float
    success: float
    p99_good: float
    amplification: float


@dataclass(frozen=True)
class Trial:
    """Everything measured for one scenario and seed. ``outcomes`` holds ``meshwise``, ``oracle`` and the rivals."""

    scenario: str
    about: str
    seed: int
    rounds: int
    status: str
    sentence: str
    oracle_goodput: float
    outcomes: dict[str, Outcome]
    predictions: tuple[Prediction, ...]

    @property
    def regret(self) -> float:
        """Share (0–1) of the oracle's goodput that our policy misses; below 0 when it found better."""
        return (self.oracle_goodput - self.outcomes["meshwise"].goodput) / self.oracle_goodput


def trial(number: int, seed: int, size: Size) -> Trial:
    """Run scenario ``number`` of the suite with the parameters and noise of ``seed``."""
    scenario = scenarios.scenario(seed, number)
    rng = np.random.default_rng([seed, number, 1])
    window = draw(scenario, round(scenario.rate * scenario.seconds), rng, recorded=True)
    seen = run(scenario, scenario.base, window)
    attempts = recorded(seen, scenario.post, rng)
    settled, rounds, status, sentence = settle(scenario, attempts, counted(seen), rng)
    compared = draw(scenario, size.compared, rng, recorded=False)
    best = oracle(scenario, compared)
    runs = {name: run(scenario, policy, compared) for name, policy in rivals(scenario, attempts).items()}
    runs |= {"meshwise": run(scenario, settled, compared), "oracle": best.run}
    truth = draw(scenario, size.truth, rng, recorded=False)
    checked = list(_others(scenario, attempts, rng))
    if settled != scenario.base:
        checked.append(settled)
    begun = max([fault.from_s for fault in scenario.faults], default=0.0)
    blocks = arrange(attempts.select(attempts.start >= EPOCH_S + begun))
    predictions = [
        _predict(replay(blocks, policy), run(scenario, policy, window), run(scenario, policy, truth), begun)
        for policy in checked
    ]
    return Trial(
        scenario=scenario.name,
        about=scenario.about,
        seed=seed,
        rounds=rounds,
        status=status,
        sentence=sentence,
        oracle_goodput=best.goodput,
        outcomes={name: _outcome(one) for name, one in runs.items()},
        predictions=tuple(predictions),
    )


def record(scenario: Scenario, policy: Policy, rng: np.random.Generator) -> tuple[Attempts, World]:
    """Return what proxies record, and what they count, under ``policy`` in a later window."""
    played = run(scenario, policy, draw(scenario, round(scenario.rate * scenario.seconds), rng, recorded=False))
    return recorded(played, scenario.post, rng), counted(played)


def settle(
    scenario: Scenario, attempts: Attempts, world: World, rng: np.random.Generator
) -> tuple[Policy, int, str, str]:
    """Apply proposals until there is none: the policy, their number, and what the proposer said last but ``proposed``.

    Where proposals were made, the sentence is that of the last one.
    """
    policy, sentence = scenario.base, ""
    for rounds in range(MAX_ROUNDS):
        (finding,) = propose(attempts, world, [policy], ProposalConfig())
        if finding.status != "proposed":
            return policy, rounds, finding.status, sentence or finding.sentence
        sentence = finding.sentence
        policy = replace(parse_policy(json.loads(finding.policy)), version=policy.version + 1)
        attempts, world = record(scenario, policy, rng)
    return policy, MAX_ROUNDS, "proposed", sentence


def _others(scenario: Scenario, attempts: Attempts, rng: np.random.Generator) -> list[Policy]:
    """The policy in force, and some that a person might try: timeouts in the recorded range, half of them hedged."""
    base, found = scenario.base, [scenario.base]
    low, high = np.quantile(attempts.duration[attempts.ok], [0.9, 1.0])
    for _ in range(_REPLAYED):
        attempt = float(np.exp(rng.uniform(np.log(low), np.log(max(high, low * 1.01)))))
        attempt, retries = min(attempt, base.timeout.request), int(rng.integers(0, 3))
        retry = Retry(
            max=retries,
            on=RetryOn(connect=True, reset=True, timeout=True, codes=(500, 502)),
            backoff=base.retry.backoff,
            budget=Budget(20.0, 10.0, 1.0),
        )
        timeout = Timeout(request=base.timeout.request, attempt=attempt)
        delay = attempt * float(rng.uniform(0.1, 1.9))
        hedge = Hedge(delay) if delay < attempt else None
        found.append(replace(base, timeout=timeout, retry=retry, hedge=hedge))
    return found


def _predict(told: ReplayResult, same: Run, long: Run, begun: float) -> Prediction:
    """Compare a replay with the requests recorded since the last fault began, and with the long run."""
    replayed = same.draws.arrival >= begun
    return Prediction(
        policy=brief(same.policy),
        success=told.success.value,
        low=told.success.low,
        high=told.success.high,
        window_success=float(same.success[replayed].mean()),
        true_success=float(long.success.mean()),
        p99=told.p99.value,
        p99_low=told.p99.low,
        p99_high=told.p99.high,
        window_p99=float(np.quantile(same.clock[replayed], 0.99, method="inverted_cdf")),
        true_p99=long.p99,
    )


def _outcome(played: Run) -> Outcome:
    return Outcome(
        policy=brief(played.policy),
        goodput=played.goodput,
        success=float(played.success.mean()),
        p99_good=played.p99_good,
        amplification=played.amplification,
    )


def brief(policy: Policy) -> str:
    """Return the timeouts, retries, budget and hedge of a policy in a few words."""
    attempt = "" if policy.timeout.attempt is None else f"{policy.timeout.attempt * 1e3:.0f} ms/"
    hedge = "" if policy.hedge is None else f", hedged after {policy.hedge.delay * 1e3:.0f} ms"
    return (
        f"{attempt}{policy.timeout.request * 1e3:.0f} ms, {policy.retry.max} retries, "
        f"{policy.retry.budget.percent:g} %{hedge}"
    )
