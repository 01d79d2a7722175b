"""One simulated route: what its endpoints do over time, and what callers get under a policy.

Latencies are tables of samples, drawn by position, so that a chain of hops or a fan-out is a table like any other.
Every random number is drawn once per scenario (``Draws``) and reused for each policy: policies are compared on the same
requests, endpoints and faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.policy.budgets import BoolArray, FloatArray, HedgeAsks, IntArray, attempts_allowed
from meshwise.contracts.policy import MAX_RETRIES, Budget, Hedge, Policy
from meshwise.contracts.telemetry import OUTCOMES

OK, ERROR, TIMEOUT, CONNECT, CANCELLED = (
    OUTCOMES.index(name) for name in ("ok", "error", "timeout", "connect", "cancelled")
)
PROXY_ATTEMPTS: Final = MAX_RETRIES + 1
"""Attempts a proxy makes of a request at most, hedges included."""
ATTEMPTS: Final = PROXY_ATTEMPTS + 1
"""Attempts there is room for: others retry three times."""
LOAD_ROUNDS: Final = 4
LOAD_BLOCK_S: Final = 5.0
HEDGE_WINDOW_S: Final = 10.0
"""Of the requests in as many seconds a share may be hedged, as in the proxy."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """How attempts end: ``latency`` is a sorted table of seconds; shares (0–1) of quick errors and refused connects."""

    latency: FloatArray
    errors: float = 0.0
    refused: float = 0.0
    status: int = 500
    error_s: float = 0.01


@dataclass(frozen=True, eq=False)
class Fault:
    """Another behaviour of the first ``endpoints`` endpoints, in episodes of ``lasts_s`` on average.

    Between episodes there are ``every_s`` seconds on average; 0 means that it never ends. It begins ``from_s`` seconds
    into a recording, and has always been there for the truth.
    """

    behaviour: Behaviour
    endpoints: int
    every_s: float = 0.0
    lasts_s: float = 10.0
    from_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Scenario:
    """A route with a known truth. ``objective_s`` is the wait up to which an answer counts as good."""

    name: str
    about: str
    healthy: Behaviour
    base: Policy
    """The policy in force when recording begins."""
    rate: float
    """Requests a second, on average."""
    objective_s: float
    endpoints: int = 4
    faults: tuple[Fault, ...] = ()
    sticky: float = 0.0
    """Share of requests whose retries end exactly as their first attempt."""
    post: float = 0.0
    """Share of requests that must not be repeated once they may have arrived."""
    swing: float = 0.0
    """How far the rate swings around its average (0–1), over ``period_s``."""
    period_s: float = 300.0
    capacity: float = 0.0
    """Attempts a second the callee bears; 0 is no limit. Near it answers slow down, beyond it come 503s."""
    instances: int = 2
    seconds: float = 600.0
    """Length of a recording."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Every random number of a run."""

    arrival: FloatArray
    instance: IntArray
    endpoint: IntArray
    """[request, attempt]: never the same twice while there is another."""
    latency: FloatArray
    fate: FloatArray
    wait: FloatArray
    post: FloatArray
    episodes: tuple[FloatArray, ...]
    """Per fault: bounds of its episodes, begin and end in turn."""
    span_s: float


@dataclass(frozen=True, eq=False)
class Run:
    """What happened, as [request, attempt] arrays; only the first ``made`` attempts of a request were made."""

    draws: Draws
    policy: Policy
    start: FloatArray
    duration: FloatArray
    cut: FloatArray
    """The limit of each attempt in seconds, the deadline considered."""
    outcome: IntArray
    status: IntArray
    made: IntArray
    final: IntArray
    """Position of the attempt whose end the caller saw: the last one, or the first where its hedge was in vain."""
    hedged: BoolArray
    """True where the second attempt was made beside the first."""
    asked: IntArray
    """Attempts that would have been made without a budget."""
    objective_s: float

    @property
    def success(self) -> BoolArray:
        """True where the caller got a good answer."""
        return np.asarray(self.outcome[self._final] == OK)

    @property
    def clock(self) -> FloatArray:
        """Seconds the caller waited, failures included."""
        return np.asarray(self.start[self._final] + self.duration[self._final] - self.draws.arrival)

    @property
    def goodput(self) -> float:
        """Share of requests answered well within the objective."""
        return float((self.success & (self.clock <= self.objective_s + 1e-9)).mean())

    @property
    def amplification(self) -> float:
        """Attempts per request."""
        return float(self.made.mean())

    @property
    def p99(self) -> float:
        """p99 of the wait in seconds, failures included."""
        return float(np.quantile(self.clock, 0.99, method="inverted_cdf"))

    @property
    def p99_good(self) -> float:
        """p99 in seconds of the wait for a good answer; a failed request counts as the whole objective."""
        waits = np.where(self.success, self.clock, np.maximum(self.clock, self.objective_s))
        return float(np.quantile(waits, 0.99, method="inverted_cdf"))

    @property
    def _final(self) -> tuple[IntArray, IntArray]:
        return np.arange(len(self.made)), self.final


def draw(scenario: Scenario, requests: int, rng: np.random.Generator, *, recorded: bool) -> Draws:
    """Draw the random numbers of about ``requests`` requests; ``recorded`` lets faults begin at their ``from_s``."""
    span = requests / scenario.rate
    gaps = rng.exponential(1.0, requests)
    even = np.cumsum(gaps) / gaps.sum() * span
    ticks = np.linspace(0.0, span, max(2, int(span)))
    phase = 2.0 * np.pi / scenario.period_s
    load = ticks - scenario.swing / phase * (np.cos(phase * ticks) - 1.0)
    arrival = np.interp(even, load * (span / load[-1]), ticks)
    ranks = np.argsort(rng.random((requests, scenario.endpoints)), axis=1)
    again = rng.integers(0, scenario.endpoints, (requests, PROXY_ATTEMPTS))
    endpoint = np.concatenate([ranks, again], axis=1)[:, :ATTEMPTS]
    # Numbers of their own, so that what only others ask for moves nothing else.
    others = rng.spawn(1)[0]

    def numbers() -> FloatArray:
        ours = rng.random((requests, PROXY_ATTEMPTS))
        return np.concatenate([ours, others.random((requests, ATTEMPTS - PROXY_ATTEMPTS))], axis=1)

    latency, fate = numbers(), numbers()
    stuck = rng.random(requests) < scenario.sticky
    latency[stuck], fate[stuck] = latency[stuck, :1], fate[stuck, :1]
    return Draws(
        arrival=arrival,
        instance=rng.integers(0, scenario.instances, requests),
        endpoint=endpoint,
        latency=latency,
        fate=fate,
        wait=numbers(),
        post=rng.random(requests),
        episodes=tuple(_episodes(fault, span, rng, recorded=recorded) for fault in scenario.faults),
        span_s=span,
    )


def _episodes(fault: Fault, span: float, rng: np.random.Generator, *, recorded: bool) -> FloatArray:
    begin = fault.from_s if recorded else 0.0
    if fault.every_s == 0.0:
        return np.array([begin, np.inf])
    count = int(3.0 * span / (fault.every_s + fault.lasts_s)) + 20
    lengths = np.stack([rng.exponential(fault.every_s, count), rng.exponential(fault.lasts_s, count)], axis=1)
    return np.asarray(begin + np.cumsum(lengths.reshape(-1)))


def run(scenario: Scenario, policy: Policy, draws: Draws) -> Run:
    """Play every request of ``draws`` under ``policy``. Where capacity is limited, load and answers are iterated."""
    blocks = int(draws.span_s / LOAD_BLOCK_S) + 1
    first = np.bincount((draws.arrival / LOAD_BLOCK_S).astype(np.int64), minlength=blocks) / LOAD_BLOCK_S
    if not scenario.capacity:
        return _Player(scenario, policy, draws, np.zeros(blocks)).play()
    load = first / scenario.capacity
    for _ in range(LOAD_ROUNDS):
        played = _Player(scenario, policy, draws, load).play()
        made = np.arange(ATTEMPTS)[None, :] < played.made[:, None]
        at = np.minimum((played.start[made] / LOAD_BLOCK_S).astype(np.int64), blocks - 1)
        sent = np.bincount(at, minlength=blocks) / LOAD_BLOCK_S / scenario.capacity
        load = (load + sent) / 2.0
    return played


@dataclass(frozen=True, eq=False)
class _Tracks:
    """Attempts of some requests as [request, attempt]; ``rows`` are their numbers, ``asked_at`` when each retries."""

    rows: IntArray
    start: FloatArray
    duration: FloatArray
    cut: FloatArray
    outcome: IntArray
    status: IntArray
    asked_at: FloatArray

    @classmethod
    def of(cls, rows: IntArray) -> _Tracks:
        """Return tracks on which nothing has happened."""
        shape = (len(rows), ATTEMPTS)
        start, duration, cut = (np.zeros(shape) for _ in range(3))
        outcome, status = np.full(shape, TIMEOUT, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        return cls(rows, start, duration, cut, outcome, status, np.full((len(rows), ATTEMPTS - 1), np.inf))

    def end(self, k: int) -> FloatArray:
        """Return when attempt ``k`` of each ended."""
        return np.asarray(self.start[:, k] + self.duration[:, k])


class _Player:
    """One policy on the requests of ``draws``, with the callee's load given per block."""

    def __init__(self, scenario: Scenario, policy: Policy, draws: Draws, load: FloatArray) -> None:
        self._scenario, self._policy, self._draws, self._load = scenario, policy, draws, load
        self._deadline = draws.arrival + policy.timeout.request
        self._repeatable = draws.post >= scenario.post

    def play(self) -> Run:
        """Play every request without a hedge and, where it would ask for one, with it; then see what is granted."""
        draws, policy, size = self._draws, self._policy, len(self._draws.arrival)
        every = np.arange(size)
        alone = _Tracks.of(every)
        self._attempt(alone, every, draws.arrival, k=0)
        self._follow(alone, every, np.zeros(size, dtype=np.int64), last=0)
        wanted = np.isfinite(alone.asked_at).sum(axis=1)
        asked, pairs, kept, hedges = wanted + 1, None, every[:0], None
        if policy.hedge is not None:
            pairs, kept = self._pairs(alone, policy.hedge)
            asked_at, then_at = np.full(size, np.inf), np.full(size, np.inf)
            asked_at[pairs.rows], then_at[pairs.rows] = pairs.start[:, 1], pairs.asked_at[:, 1]
            asked[pairs.rows] = 2 + np.isfinite(pairs.asked_at[:, 1])
            hedges = HedgeAsks(asked_at, then_at, Budget(policy.hedge.max_extra_percent, HEDGE_WINDOW_S, 0.0))
        made, hedged = attempts_allowed(
            draws.arrival, draws.instance, alone.asked_at, wanted, policy.retry.budget, hedges=hedges
        )
        final = made - 1
        if pairs is not None:
            used = np.flatnonzero(hedged[pairs.rows])
            rows = pairs.rows[used]
            for name in ("start", "duration", "cut", "outcome", "status"):
                getattr(alone, name)[rows] = getattr(pairs, name)[used]
            final[rows] = np.where(made[rows] == PROXY_ATTEMPTS, PROXY_ATTEMPTS - 1, kept[used])
        return Run(
            draws=draws,
            policy=policy,
            start=alone.start,
            duration=alone.duration,
            cut=alone.cut,
            outcome=alone.outcome,
            status=alone.status,
            made=made,
            final=final,
            hedged=hedged,
            asked=asked,
            objective_s=self._scenario.objective_s,
        )

    def _attempt(self, tracks: _Tracks, at: IntArray, now: FloatArray, *, k: int) -> None:
        """Make attempt ``k`` of the tracks ``at``, begun at ``now``."""
        rows, timeout = tracks.rows[at], self._policy.timeout
        took, ended, code = _answers(self._scenario, self._draws, self._load, rows, now, k=k)
        most = np.minimum(timeout.request if timeout.attempt is None else timeout.attempt, self._deadline[rows] - now)
        late = took > most
        tracks.start[at, k], tracks.duration[at, k], tracks.cut[at, k] = now, np.minimum(took, most), most
        tracks.outcome[at, k], tracks.status[at, k] = np.where(late, TIMEOUT, ended), np.where(late, 0, code)

    def _follow(self, tracks: _Tracks, at: IntArray, kept: IntArray, *, last: int) -> None:
        """Make the retries that the tracks ``at`` want after attempt ``last``, where attempt ``kept`` ended last."""
        retry = self._policy.retry
        over, ended, code = tracks.end(0)[at], tracks.outcome[at, kept], tracks.status[at, kept]
        if last:
            over = np.maximum(over, tracks.end(1)[at])
        retries = kept
        for k in range(last, (PROXY_ATTEMPTS if last else ATTEMPTS) - 1):
            rows, on = tracks.rows[at], retry.on
            wants = (ended == CONNECT) & on.connect
            again = ((ended == TIMEOUT) & on.timeout) | ((ended == ERROR) & np.isin(code, on.codes))
            wants |= self._repeatable[rows] & again
            wait = self._draws.wait[rows, k] * np.minimum(retry.backoff.max, retry.backoff.base * 2.0**retries)
            wants &= (retries < retry.max) & (over + wait < self._deadline[rows] - 1e-9)
            at, retries = at[wants], retries[wants] + 1
            tracks.asked_at[at, k] = over[wants]
            self._attempt(tracks, at, (over + wait)[wants], k=k + 1)
            over, ended, code = tracks.end(k + 1)[at], tracks.outcome[at, k + 1], tracks.status[at, k + 1]

    def _pairs(self, alone: _Tracks, hedge: Hedge) -> tuple[_Tracks, IntArray]:
        """Return the requests that may be hedged, each with its second attempt, and which of the two the caller saw.

        The first good answer wins, and the other attempt is given up then. Where both fail the later end counts, and a
        retry may follow.
        """
        rows = np.flatnonzero(self._repeatable & (alone.duration[:, 0] > hedge.delay))
        pairs, every = _Tracks.of(rows), np.arange(len(rows))
        for name in ("start", "duration", "cut", "outcome", "status"):
            getattr(pairs, name)[:, 0] = getattr(alone, name)[rows, 0]
        self._attempt(pairs, every, self._draws.arrival[rows] + hedge.delay, k=1)
        first, second = pairs.end(0), pairs.end(1)
        good = pairs.outcome[:, :2] == OK
        answered = good.any(axis=1)
        by_second = good[:, 1] & ~(good[:, 0] & (first <= second))
        kept = np.where(answered, by_second, second >= first).astype(np.int64)
        over = np.where(by_second, second, first)
        for k, end in enumerate((first, second)):
            lost = answered & (kept != k) & (end > over)
            pairs.duration[lost, k] = (over - pairs.start[:, k])[lost]
            pairs.outcome[lost, k], pairs.status[lost, k] = CANCELLED, 0
        failed = every[~answered]
        self._follow(pairs, failed, kept[failed], last=1)
        return pairs, kept


def _answers(
    scenario: Scenario, draws: Draws, load: FloatArray, rows: IntArray, now: FloatArray, *, k: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return how attempts begun at ``now`` would end if nobody cut them off: seconds, outcome, status."""
    endpoint, place, fate = draws.endpoint[rows, k], draws.latency[rows, k], draws.fate[rows, k]
    state = np.zeros(len(rows), dtype=np.int64)
    for number, fault in enumerate(scenario.faults, start=1):
        inside = np.searchsorted(draws.episodes[number - 1], now, side="right") % 2 == 1
        state[inside & (endpoint < fault.endpoints)] = number
    took, ended, code = np.zeros(len(rows)), np.full(len(rows), OK), np.full(len(rows), 200)
    for number, behaviour in enumerate((scenario.healthy, *(fault.behaviour for fault in scenario.faults))):
        here = np.flatnonzero(state == number)
        table = behaviour.latency
        took[here] = table[(place[here] * len(table)).astype(np.int64)]
        refused = here[fate[here] < behaviour.refused]
        failed = here[(fate[here] >= behaviour.refused) & (fate[here] < behaviour.refused + behaviour.errors)]
        took[refused], ended[refused], code[refused] = 0.001, CONNECT, 0
        took[failed], ended[failed], code[failed] = behaviour.error_s * (0.5 + place[failed]), ERROR, behaviour.status
    if scenario.capacity:
        used = load[np.minimum((now / LOAD_BLOCK_S).astype(np.int64), len(load) - 1)]
        took = took / (1.0 - np.minimum(used, 0.95) ** 4)
        # A second use of the latency's number would tie shedding to slowness; the fate's low end is taken by errors.
        shed = fate > np.minimum(1.0, 1.0 / np.maximum(used, 1e-9))
        took[shed], ended[shed], code[shed] = 0.002, ERROR, 503
    return took, ended, code
