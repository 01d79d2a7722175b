"""The routes of the suite. Every parameter is drawn from the seed, around the case that the name says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.policy.latencies import Sampler, chained, fanned, lognormal, mixed, pareto, table
from benchmarks.policy.system import Behaviour, Fault, Scenario
from meshwise.contracts.policy import Policy, parse_policy


@dataclass(frozen=True, eq=False)
class Dice:
    """Parameters from a seed."""

    rng: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """Return a number between two, evenly on the logarithmic scale."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def count(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def behaviour(self, sampler: Sampler, **rest: Any) -> Behaviour:
        """Return a behaviour with the latencies of ``sampler``."""
        return Behaviour(table(sampler, self.rng), **rest)

    def usual(self) -> tuple[float, Sampler]:
        """Return the median of an ordinary service in seconds, and its latencies."""
        median = self.between(0.008, 0.04)
        return median, lognormal(median, self.between(0.25, 0.5))


def policy_in_force(request_s: float, attempt_s: float | None = None, retries: int = 0, **on: Any) -> Policy:
    """Return version 1 of the route's policy."""
    timeout = {"request": f"{request_s * 1e3:.0f}ms"} | (
        {"attempt": f"{attempt_s * 1e3:.0f}ms"} if attempt_s is not None else {}
    )
    retry = {"max": retries, "on": on, "backoff": {"base": "10ms", "max": "50ms"}}
    match = {"source": "caller", "service": "callee"}
    return parse_policy({"match": match, "timeout": timeout, "retry": retry, "version": 1})


def _route(dice: Dice, name: str, about: str, healthy: Behaviour, **rest: Any) -> Scenario:
    objective = rest.pop("objective_s", 1.0)
    settings: dict[str, Any] = {"base": policy_in_force(objective), "rate": dice.between(15.0, 30.0)} | rest
    return Scenario(name=name, about=about, healthy=healthy, objective_s=objective, **settings)


def _healthy(dice: Dice) -> Scenario:
    return _route(dice, "healthy", "nothing is wrong", dice.behaviour(dice.usual()[1]))


def _slow_share(dice: Dice) -> Scenario:
    share = dice.between(0.03, 0.12)
    slow = mixed(dice.usual()[1], lognormal(dice.between(2.0, 4.0), 0.1), share)
    return _route(dice, "slow share", "a share of answers takes seconds", dice.behaviour(slow))


def _slow_since(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    slow = mixed(usual, lognormal(dice.between(2.0, 4.0), 0.1), dice.between(0.06, 0.12))
    fault = Fault(dice.behaviour(slow), 4, from_s=240.0)
    about = "answers have turned slow during the recording"
    return _route(dice, "slow since", about, dice.behaviour(usual), faults=(fault,))


def _pareto_tail(dice: Dice) -> Scenario:
    tail = pareto(dice.between(0.01, 0.03), dice.between(0.9, 1.5))
    return _route(dice, "pareto tail", "heavy tail without a second mode", dice.behaviour(tail))


def _lognormal_tail(dice: Dice) -> Scenario:
    tail = lognormal(dice.between(0.02, 0.05), dice.between(1.2, 1.7))
    return _route(dice, "lognormal tail", "wide spread", dice.behaviour(tail))


def _bimodal(dice: Dice) -> Scenario:
    median, usual = dice.usual()
    slow = lognormal(median * dice.between(10, 20), 0.3)
    both = mixed(usual, slow, dice.between(0.1, 0.3))
    return _route(dice, "bimodal", "cache misses that still fit the objective", dice.behaviour(both))


def _bimodal_late(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    both = mixed(usual, lognormal(0.6, 0.4), dice.between(0.08, 0.15))
    return _route(dice, "bimodal late", "cache misses around the objective", dice.behaviour(both), objective_s=0.6)


def _sick_replica(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    sick = Fault(dice.behaviour(lognormal(dice.between(2, 5), 0.5)), 1)
    about = "one endpoint answers after seconds"
    return _route(dice, "sick replica", about, dice.behaviour(usual), faults=(sick,), endpoints=dice.count(6, 9))


def _sick_replica_errors(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    sick = Fault(dice.behaviour(usual, errors=dice.between(0.5, 0.95), status=500), 1)
    about = "one endpoint fails quickly"
    many = dice.count(6, 9)
    return _route(dice, "failing replica", about, dice.behaviour(usual), faults=(sick,), endpoints=many)


def _pauses(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    paused = Fault(dice.behaviour(lognormal(1.5, 0.5)), 1, dice.between(15, 40), dice.between(2, 5))
    return _route(dice, "pauses", "an endpoint stands still now and then", dice.behaviour(usual), faults=(paused,))


def _outage(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    down = Fault(dice.behaviour(lognormal(30.0, 0.1)), 99, dice.between(60, 120), dice.between(3, 7))
    about = "all endpoints stand still together"
    return _route(dice, "correlated outage", about, dice.behaviour(usual), faults=(down,))


def _outage_errors(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    down = Fault(dice.behaviour(usual, errors=0.9), 99, dice.between(60, 120), dice.between(4, 10))
    return _route(dice, "error bursts", "all endpoints fail together", dice.behaviour(usual), faults=(down,))


def _zone(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    down = Fault(dice.behaviour(lognormal(10.0, 0.3)), 3, dice.between(60, 120), dice.between(5, 12))
    about = "half of the endpoints stand still together"
    return _route(dice, "zone outage", about, dice.behaviour(usual), faults=(down,), endpoints=6)


def _overload(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    rate = dice.between(15.0, 30.0)
    extra = {"rate": rate, "capacity": rate * dice.between(0.85, 1.0), "swing": 0.4}
    return _route(dice, "overload", "more requests than the callee bears", dice.behaviour(usual), **extra)


def _near_capacity(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(3.0, 0.1), dice.between(0.02, 0.05))
    rate = dice.between(15.0, 30.0)
    extra = {"rate": rate, "capacity": rate * dice.between(1.3, 1.6)}
    return _route(dice, "near capacity", "slow answers, and little room for retries", dice.behaviour(slow), **extra)


def _diurnal(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(2.5, 0.2), dice.between(0.03, 0.08))
    about = "the rate rises and falls, a share of answers is slow"
    return _route(dice, "diurnal load", about, dice.behaviour(slow), swing=0.7, period_s=200.0)


def _diurnal_capacity(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    rate = dice.between(15.0, 30.0)
    extra = {"rate": rate, "capacity": rate * 1.25, "swing": 0.4, "period_s": 200.0}
    return _route(dice, "peak overload", "overload at the peak of the rate", dice.behaviour(usual), **extra)


def _slow_start(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    cold = mixed(usual, lognormal(dice.between(1.5, 3.0), 0.4), 0.6)
    fault = Fault(dice.behaviour(cold), 1, dice.between(40, 80), dice.between(10, 25))
    return _route(
        dice, "slow start", "restarted endpoints answer slowly at first", dice.behaviour(usual), faults=(fault,)
    )


def _rare_errors(dice: Dice) -> Scenario:
    errors = dice.between(0.001, 0.004)
    return _route(
        dice, "rare errors", "a few answers in a thousand are 500", dice.behaviour(dice.usual()[1], errors=errors)
    )


def _frequent_errors(dice: Dice) -> Scenario:
    errors = dice.between(0.03, 0.10)
    return _route(dice, "frequent errors", "quick 500s, each by itself", dice.behaviour(dice.usual()[1], errors=errors))


def _unavailable(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    behaviour = dice.behaviour(usual, errors=dice.between(0.02, 0.05), status=502)
    return _route(dice, "bad gateway", "quick 502s, each by itself", behaviour)


def _refused(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    gone = Fault(dice.behaviour(usual, refused=1.0), 1, dice.between(30, 60), dice.between(5, 15))
    return _route(dice, "refused connects", "an endpoint is gone now and then", dice.behaviour(usual), faults=(gone,))


def _post(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(3.0, 0.1), dice.between(0.04, 0.08))
    return _route(dice, "not idempotent", "slow answers to POST only", dice.behaviour(slow), post=1.0)


def _half_post(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(3.0, 0.1), dice.between(0.05, 0.1))
    return _route(dice, "half idempotent", "slow answers, half of them to POST", dice.behaviour(slow), post=0.5)


def _sticky(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(3.0, 0.1), dice.between(0.05, 0.1))
    sticky = float(dice.rng.uniform(0.4, 0.8))
    return _route(dice, "sticky requests", "most slow requests are slow again", dice.behaviour(slow), sticky=sticky)


def _chain(dice: Dice) -> Scenario:
    hop = mixed(lognormal(dice.between(0.004, 0.01), 0.4), lognormal(2.0, 0.2), dice.between(0.008, 0.015))
    return _route(dice, "deep chain", "eight hops, each rarely slow", dice.behaviour(chained(hop, 8)))


def _fan_out(dice: Dice) -> Scenario:
    leaf = mixed(lognormal(dice.between(0.008, 0.02), 0.4), lognormal(1.5, 0.4), dice.between(0.005, 0.01))
    return _route(dice, "fan-out", "the slowest of ten", dice.behaviour(fanned(leaf, 10)))


def _cut_short(dice: Dice) -> Scenario:
    _, usual = dice.usual()
    latency = dice.behaviour(usual)
    cut = float(np.quantile(latency.latency, 1.0 - dice.between(0.05, 0.15)))
    base = policy_in_force(1.0, cut, 0)
    return _route(dice, "cut short", "an attempt timeout cuts off good answers", latency, base=base)


def _cut_short_retries(dice: Dice) -> Scenario:
    latency = dice.behaviour(mixed(dice.usual()[1], lognormal(2.5, 0.1), 0.03))
    cut = float(np.quantile(latency.latency, 1.0 - dice.between(0.1, 0.2)))
    base = policy_in_force(1.0, cut, 1, timeout=True)
    return _route(dice, "cut short, retried", "a short attempt timeout feeds retries", latency, base=base)


def _generous(dice: Dice) -> Scenario:
    slow = mixed(dice.usual()[1], lognormal(2.5, 0.2), dice.between(0.03, 0.08))
    base = policy_in_force(15.0)
    return _route(dice, "generous timeout", "15 s in force, 1 s wanted", dice.behaviour(slow), base=base)


SCENARIOS: tuple[Callable[[Dice], Scenario], ...] = (
    *(_healthy, _slow_share, _slow_since, _pareto_tail, _lognormal_tail, _bimodal, _bimodal_late, _sick_replica),
    *(_sick_replica_errors, _pauses, _outage, _outage_errors, _zone, _overload, _near_capacity, _diurnal),
    *(_diurnal_capacity, _slow_start, _rare_errors, _frequent_errors, _unavailable, _refused, _post, _half_post),
    *(_sticky, _chain, _fan_out, _cut_short, _cut_short_retries, _generous),
)


def scenario(seed: int, number: int) -> Scenario:
    """Return scenario ``number`` of the suite with the parameters of ``seed``."""
    return SCENARIOS[number](Dice(np.random.default_rng([seed, number])))
