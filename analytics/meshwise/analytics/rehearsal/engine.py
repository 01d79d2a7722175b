"""The discrete-event simulation of a graph.

Rules
1. A request enters as a call. A call makes attempts, one at a time or, where it is hedged, two beside each other; the
   first good answer, or the last failure, ends it.
2. An attempt goes to the less busy of two replicas drawn at random, ejected ones left out. A replica that is down
   refuses at once; one without a free slot lets it wait, one without room answers 503 at once.
3. After a request's own work come its calls, with the time left of the caller's; then it answers: well if its own work
   and all of its calls went well.
4. When the attempt timeout or the deadline passes, the caller goes. The replica does not notice and works on, unless
   its service forgets those still waiting.
5. A failed attempt is repeated when the policy names its outcome, the request may be repeated or never arrived, retries
   and time are left, and the budget of the edge allows it: a share of the requests of the running tenth of its interval
   and the nine before, or its floor.
6. Where the policy hedges, a first attempt without an answer after the delay gets a second one beside it, at another
   replica: for a share of the requests of ten seconds, and out of the retry budget. A loser's replica works on, too.
7. Above ``breaker.max_requests`` attempts in flight an edge answers 503 by itself, which is not repeated.
8. An endpoint that fails ``outlier.consecutive`` times in a row rests, as long as few enough do.
9. A replica's proxy answers 503 at once above what ``limit.max_concurrency`` lets the policy's priority (normal, where
   it names none) have under way. Whoever has gone is not under way any more, though the replica may still work for
   them. Nothing reached it, so any request may be repeated, and no endpoint rests for it.

Time is in seconds from the run's beginning. Nothing is lost or made up: every request that entered ends once.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from typing import Any, Final

import numpy as np

from meshwise.analytics.rehearsal.graph import Call, Graph, Service, Stream
from meshwise.analytics.rehearsal.trigger import Trigger
from meshwise.analytics.rehearsal.window import SLOTS, Window
from meshwise.contracts.policy import CONCURRENCY_SHARES

_WORKED, _EXPIRED, _AGAIN, _HEDGE, _BEGIN, _END = range(6)
_OK, _ERROR, _TIMEOUT, _CONNECT, _RESET, _SHED, _LIMITED = range(7)
_HEDGE_WINDOW_S: Final = 10.0
_DRAWN: Final = 4096
_EJECT_LONGEST_S: Final = 300.0


class _Replica:
    __slots__ = ("bad", "ejected", "free", "life", "resting_until", "site", "up", "using", "waiting")

    def __init__(self, site: _Site, slots: int) -> None:
        self.site, self.free, self.up = site, slots, True
        self.waiting: deque[_Attempt] = deque()
        self.using, self.bad, self.ejected, self.resting_until = 0, 0, 0, 0.0
        self.life = 0
        """How often the replica was lost; work of a former life does not end."""


class _Site:
    __slots__ = (
        *("draws", "errors", "gates", "links", "means", "once"),
        *("replicas", "slowness", "spec", "times", "usual_errors"),
    )

    def __init__(self, spec: Service) -> None:
        self.spec = spec
        self.times = np.asarray(spec.times)
        self.draws: list[float] = []
        self.slowness, self.errors, self.usual_errors = 1.0, spec.errors, spec.errors
        self.links: list[_Link] = []
        self.means: list[float] = []
        self.once = True
        """Every call is made exactly once per request."""
        self.replicas = [_Replica(self, spec.slots) for _ in range(spec.replicas)]
        self.gates: dict[str, dict[_Replica, int]] = {}
        """Attempts under way at each replica, by the name of the policy that limits them."""


class _Link:
    """One edge: its policy's numbers, its budgets, its breaker."""

    __slots__ = (
        "attempt_s",
        "attempts",
        "base_s",
        "budget",
        "calls",
        "codes",
        "eject_after",
        "eject_base",
        "eject_most",
        "gate",
        "hedge_s",
        "hedged",
        "hedges",
        "in_flight",
        "longest_s",
        "most",
        "most_at_once",
        "on_connect",
        "on_error",
        "on_reset",
        "on_timeout",
        "repeatable",
        "request_s",
        "resting",
        "site",
        "tries",
    )  # fmt: skip

    def __init__(self, site: _Site, call: Call, callers: int) -> None:
        policy = call.policy
        self.site = site
        self.request_s = policy.timeout.request
        self.attempt_s = policy.timeout.attempt or policy.timeout.request
        retry, hedge = policy.retry, policy.hedge
        self.tries = retry.max + 1
        on = retry.on
        self.on_connect, self.on_reset, self.on_timeout = on.connect, on.reset, on.timeout
        self.on_error, self.codes = 500 in on.codes, 503 in on.codes
        self.base_s, self.longest_s = retry.backoff.base, retry.backoff.max
        budget = retry.budget
        # Every proxy of the caller keeps a budget of its own, so the floors add up.
        self.budget = Window(budget.percent, budget.interval, budget.min_per_second * budget.interval * callers)
        # A hedge is for who can still win: not after the attempt is cut off.
        hedges = hedge is not None and hedge.delay < self.attempt_s
        self.hedge_s = hedge.delay if hedge is not None and hedges else math.inf
        self.hedges = Window(hedge.max_extra_percent, _HEDGE_WINDOW_S, 0.0) if hedge is not None and hedges else None
        self.in_flight, self.most = 0, policy.breaker.max_requests * callers
        self.gate: dict[_Replica, int] | None = None
        self.most_at_once = 0
        limiter = policy if policy.limit is not None or call.limiter is None else call.limiter
        if limiter.limit is not None and limiter.limit.max_concurrency is not None:
            share = CONCURRENCY_SHARES[limiter.limit.priority or "normal"] * site.spec.part
            self.most_at_once = max(1, int(limiter.limit.max_concurrency * share))
            self.gate = site.gates.setdefault(limiter.name, dict.fromkeys(site.replicas, 0))
        many = len(site.replicas)
        self.eject_after, self.eject_base = policy.outlier.consecutive, policy.outlier.eject_base
        self.eject_most = max(1 if many >= 2 else 0, int(many * policy.outlier.max_eject_percent / 100.0))
        self.resting = 0
        self.calls, self.attempts, self.hedged = 0, 0, 0
        self.repeatable = 1.0


class _CallState:
    __slots__ = ("born", "deadline", "link", "made", "pair", "parent", "repeatable", "stream")

    def __init__(self, link: _Link, parent: _Attempt | None, stream: int, born: float, deadline: float) -> None:
        self.link, self.parent, self.stream, self.born, self.deadline = link, parent, stream, born, deadline
        self.made, self.repeatable = 0, True
        self.pair: tuple[_Attempt, _Attempt] | None = None
        """The two attempts of a hedged call, until one of them has ended."""


class _Attempt:
    __slots__ = (
        *("alive", "call", "expires", "failed", "hedge_at", "life"),
        *("next", "ordinal", "pending", "plan", "replica"),
    )

    def __init__(self, call: _CallState, replica: _Replica, expires: float) -> None:
        self.call, self.replica, self.expires, self.life = call, replica, expires, replica.life
        self.ordinal = call.made
        self.hedge_at = math.inf
        """When it gets a second attempt beside it: its alarm clock rings then first, and for its end after that."""
        self.alive, self.failed = True, False
        self.pending, self.next = 0, 0
        self.plan: tuple[_Link, ...] | list[_Link] = ()


class Simulation:
    """One run. ``offered`` and ``good`` count requests that entered, by stream and second of their entry."""

    def __init__(self, graph: Graph, trigger: Trigger | None, seconds: float, load: float = 1.0, seed: int = 0) -> None:
        self.seconds = seconds
        self._random = random.Random(seed)  # noqa: S311  # chances of a simulation, not secrets
        self._numpy = np.random.default_rng(seed)
        self._sites = {name: _Site(service) for name, service in graph.services.items()}
        replicas = {name: service.replicas for name, service in graph.services.items()}
        self.links: dict[tuple[str, str], _Link] = {}
        for name, service in graph.services.items():
            for call in service.calls:
                self._sites[name].links.append(self._link(name, call, replicas.get(name, 1)))
                self._sites[name].means.append(call.mean)
                self._sites[name].once &= call.mean == 1.0
        self._entries = [
            self._link(s.source, Call(s.destination, s.policy, 1.0, s.repeatable, s.limiter), 1) for s in graph.streams
        ]
        size = math.ceil(seconds) + 1
        self.offered = [[0] * size for _ in graph.streams]
        self.good = [[0] * size for _ in graph.streams]
        self._arrivals, self._origin = self._draw_arrivals(graph.streams, trigger, load)
        self._position = 0
        self._heap: list[tuple[float, int, int, Any]] = []
        self._count = 0
        self.visits = 0
        if trigger is not None and trigger.kind != "load spike":
            self._push(trigger.begin_s, _BEGIN, trigger)
            self._push(trigger.end_s, _END, trigger)

    def _link(self, source: str, call: Call, callers: int) -> _Link:
        link = _Link(self._sites[call.destination], call, callers)
        link.repeatable = call.repeatable
        self.links[source, call.destination] = link
        return link

    def _draw_arrivals(
        self, streams: tuple[Stream, ...], trigger: Trigger | None, load: float
    ) -> tuple[list[float], list[int]]:
        times, origin = [], []
        for number, stream in enumerate(streams):
            spans = [(0.0, self.seconds, 1.0)]
            if trigger is not None and trigger.kind == "load spike":
                spans.append((trigger.begin_s, trigger.end_s, trigger.strength - 1.0))
            for begin, end, factor in spans:
                count = self._numpy.poisson(max(0.0, stream.rate * load * factor * (end - begin)))
                times.append(self._numpy.uniform(begin, end, count))
                origin.append(np.full(count, number))
        if not times:
            return [], []
        every, whose = np.concatenate(times), np.concatenate(origin)
        order = np.argsort(every, kind="stable")
        return every[order].tolist(), whose[order].tolist()

    def _push(self, at: float, kind: int, item: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, kind, item))

    def advance(self, until: float) -> None:
        """Play everything that happens up to ``until``."""
        heap, arrivals, origin, pop = self._heap, self._arrivals, self._origin, heapq.heappop
        position, size = self._position, len(self._arrivals)
        while True:
            if position < size and (not heap or arrivals[position] <= heap[0][0]):
                now = arrivals[position]
                if now > until:
                    break
                stream = origin[position]
                position += 1
                self.offered[stream][int(now)] += 1
                self._call(self._entries[stream], None, stream, now, math.inf)
                continue
            if not heap or heap[0][0] > until:
                break
            now, _, kind, item = pop(heap)
            if kind == _WORKED:
                self._worked(item, now)
            elif kind == _EXPIRED:
                if item.alive:
                    self._settle(item, _TIMEOUT, now)
            elif kind == _AGAIN:
                self._attempt(item, now)
            elif kind == _HEDGE:
                if item.alive and item.hedge_at < math.inf:
                    item.hedge_at = math.inf
                    self._set_alarm(item)
                    self._hedge(item, now)
            else:
                self._switch(item, kind == _BEGIN, now)
        self._position = position

    def _call(self, link: _Link, parent: _Attempt | None, stream: int, now: float, deadline: float) -> None:
        link.calls += 1
        # The same as budget.request(now), which every call would have to make.
        budget = link.budget
        slot = int(now / budget.slot_s)
        if slot != budget.slot:
            budget.roll(slot)
        budget.requests[slot % SLOTS] += 1
        budget.sum_requests += 1
        if link.hedges is not None:
            link.hedges.request(now)
        call = _CallState(link, parent, stream, now, min(deadline, now + link.request_s))
        if link.repeatable < 1.0:
            call.repeatable = self._random.random() < link.repeatable
        self._attempt(call, now)

    def _attempt(self, call: _CallState, now: float) -> None:
        link = call.link
        call.made += 1
        if link.in_flight >= link.most:
            self._end_call(call, False, now)
            return
        link.in_flight += 1
        link.attempts += 1
        replica = self._choose(link, now)
        attempt = _Attempt(call, replica, min(now + link.attempt_s, call.deadline))
        if call.made == 1 and call.repeatable and now + link.hedge_s < attempt.expires:
            attempt.hedge_at = now + link.hedge_s
        self._send(attempt, replica, now)

    def _send(self, attempt: _Attempt, replica: _Replica, now: float) -> None:
        replica.using += 1
        link = attempt.call.link
        if link.gate is not None:
            link.gate[replica] += 1
        if not replica.up:
            self._settle(attempt, _CONNECT, now)
        elif link.gate is not None and link.gate[replica] > link.most_at_once:
            self._settle(attempt, _LIMITED, now)
        elif replica.free > 0:
            self._work(attempt, replica, now)
        elif len(replica.waiting) < replica.site.spec.room:
            replica.waiting.append(attempt)
            self._set_alarm(attempt)
        else:
            self._settle(attempt, _SHED, now)

    def _hedge(self, first: _Attempt, now: float) -> None:
        """Begin a second attempt beside ``first``, if both limits allow it."""
        call = first.call
        link = call.link
        hedges = link.hedges
        if hedges is None or link.in_flight >= link.most or not hedges.room(now) or not link.budget.room(now):
            return
        hedges.take()
        link.budget.take()
        link.in_flight += 1
        link.attempts += 1
        link.hedged += 1
        call.made += 1
        replica = self._choose(link, now, first.replica)
        second = _Attempt(call, replica, min(now + link.attempt_s, call.deadline))
        call.pair = first, second
        self._send(second, replica, now)

    def _set_alarm(self, attempt: _Attempt) -> None:
        if attempt.hedge_at < attempt.expires:
            self._push(attempt.hedge_at, _HEDGE, attempt)
        else:
            self._push(attempt.expires, _EXPIRED, attempt)

    def _choose(self, link: _Link, now: float, tried: _Replica | None = None) -> _Replica:
        replicas = link.site.replicas
        if len(replicas) == 1:
            return replicas[0]
        if link.resting:
            awake = [replica for replica in replicas if replica.resting_until <= now]
            link.resting = len(replicas) - len(awake)
            replicas = awake or replicas
            if len(replicas) == 1:
                return replicas[0]
        if tried is not None:
            replicas = [replica for replica in replicas if replica is not tried]
            if len(replicas) == 1:
                return replicas[0]
        size = len(replicas)
        pair = int(self._random.random() * (size * (size - 1)))
        first = pair % size
        one, other = replicas[first], replicas[(first + 1 + pair // size) % size]
        return one if one.using <= other.using else other

    def _work(self, attempt: _Attempt, replica: _Replica, now: float) -> None:
        self.visits += 1
        replica.free -= 1
        site = replica.site
        if not site.draws:
            site.draws = site.times[self._numpy.integers(0, len(site.times), _DRAWN)].tolist()
        over = now + site.draws.pop() * site.slowness
        self._count += 1
        heapq.heappush(self._heap, (over, self._count, _WORKED, attempt))
        # Who answers by itself and in time needs no alarm clock; whoever waited has one already.
        if (over > attempt.expires or over > attempt.hedge_at or site.links) and attempt.alive:
            self._set_alarm(attempt)

    def _worked(self, attempt: _Attempt, now: float) -> None:
        replica = attempt.replica
        if attempt.life != replica.life:
            return  # the replica was lost meanwhile
        replica.free += 1
        if replica.waiting:
            self._next(replica, now)
        site = replica.site
        if site.errors and self._random.random() < site.errors:
            attempt.failed = True
        elif site.links:
            attempt.plan = self._plan(site)
            self._go_on(attempt, now)
            return
        self._answer(attempt, now)

    def _next(self, replica: _Replica, now: float) -> None:
        waiting = replica.waiting
        while waiting and replica.free > 0:
            attempt = waiting.popleft()
            if attempt.alive or not replica.site.spec.forgets:
                self._work(attempt, replica, now)

    def _plan(self, site: _Site) -> list[_Link]:
        if site.once:
            return site.links
        plan: list[_Link] = []
        for link, mean in zip(site.links, site.means, strict=True):
            count = int(mean)
            if mean > count and self._random.random() < mean - count:
                count += 1
            plan += [link] * count
        return plan

    def _go_on(self, attempt: _Attempt, now: float) -> None:
        """Make the next call of a request, or all of them, or answer when none is left."""
        plan = attempt.plan
        if attempt.next >= len(plan):
            if attempt.pending == 0:
                self._answer(attempt, now)
            return
        call = attempt.call
        deadline = attempt.expires
        if attempt.replica.site.spec.parallel:
            attempt.next = attempt.pending = len(plan)
            for link in plan:
                self._call(link, attempt, call.stream, now, deadline)
            return
        link = plan[attempt.next]
        attempt.next += 1
        attempt.pending = 1
        if now >= deadline:
            # The caller's deadline travels with the request: what it has no time for is not begun.
            attempt.failed, attempt.next, attempt.pending = True, len(plan), 0
            self._answer(attempt, now)
            return
        self._call(link, attempt, call.stream, now, deadline)

    def _answer(self, attempt: _Attempt, now: float) -> None:
        if not attempt.alive:
            return
        if attempt.life != attempt.replica.life:
            self._settle(attempt, _RESET, now)  # the replica was lost while its calls were under way
        else:
            self._settle(attempt, _ERROR if attempt.failed else _OK, now)

    def _settle(self, attempt: _Attempt, outcome: int, now: float) -> None:
        """An attempt has ended for its caller."""
        attempt.alive = False
        call = attempt.call
        link = call.link
        link.in_flight -= 1
        replica = attempt.replica
        replica.using -= 1
        if link.gate is not None:
            link.gate[replica] -= 1
        other = None
        if call.pair is not None:
            first, second = call.pair
            other, call.pair = first if attempt is second else second, None
        if outcome == _OK:
            replica.bad = replica.ejected = 0
            if other is not None:
                self._give_up(other)
            self._end_call(call, True, now)
            return
        replica.bad += outcome != _LIMITED
        if replica.bad >= link.eject_after and replica.resting_until <= now:
            self._eject(link, replica, now)
        if other is not None:
            return  # it takes the place of the one that failed
        retries = attempt.ordinal - 1
        may_repeat = call.repeatable or outcome in (_CONNECT, _LIMITED)
        if attempt.ordinal < link.tries and may_repeat and self._is_wanted(link, outcome):
            wait = self._random.random() * min(link.longest_s, link.base_s * 2.0**retries)
            if now + wait < call.deadline and link.budget.room(now):
                link.budget.take()
                self._push(now + wait, _AGAIN, call)
                return
        self._end_call(call, False, now)

    @staticmethod
    def _give_up(attempt: _Attempt) -> None:
        """The caller does not wait for an attempt any more; its replica works on."""
        attempt.alive = False
        link = attempt.call.link
        link.in_flight -= 1
        attempt.replica.using -= 1
        if link.gate is not None:
            link.gate[attempt.replica] -= 1

    def _is_wanted(self, link: _Link, outcome: int) -> bool:
        if outcome == _TIMEOUT:
            return link.on_timeout
        if outcome == _ERROR:
            return link.on_error
        if outcome in (_SHED, _LIMITED):
            return link.codes
        return link.on_connect if outcome == _CONNECT else link.on_reset

    def _eject(self, link: _Link, replica: _Replica, now: float) -> None:
        resting = sum(other.resting_until > now for other in link.site.replicas)
        if resting < link.eject_most:
            replica.ejected += 1
            replica.bad = 0
            replica.resting_until = now + min(_EJECT_LONGEST_S, link.eject_base * replica.ejected)
            link.resting = resting + 1

    def _end_call(self, call: _CallState, well: bool, now: float) -> None:
        parent = call.parent
        if parent is None:
            if well:
                self.good[call.stream][int(call.born)] += 1
            return
        parent.pending -= 1
        if not well:
            parent.failed = True
            parent.next = len(parent.plan)
        if parent.pending == 0:
            self._go_on(parent, now)

    def _switch(self, trigger: Trigger, begins: bool, now: float) -> None:
        site = self._sites[trigger.service]
        if trigger.kind == "slow backend":
            site.slowness = trigger.strength if begins else 1.0
        elif trigger.kind == "error burst":
            site.errors = max(trigger.strength, site.usual_errors) if begins else site.usual_errors
        else:
            gone = max(1, round(trigger.strength * len(site.replicas)))
            for replica in site.replicas[:gone]:
                if begins:
                    self._lose(replica, now)
                else:
                    replica.up, replica.bad, replica.resting_until = True, 0, 0.0

    def _lose(self, replica: _Replica, now: float) -> None:
        at_work = [item for _, _, kind, item in self._heap if kind == _WORKED and item.replica is replica]
        ended = [attempt for attempt in (*at_work, *replica.waiting) if attempt.alive]
        replica.up, replica.free = False, replica.site.spec.slots
        replica.life += 1
        replica.waiting.clear()
        for attempt in sorted(ended, key=lambda one: one.expires):
            self._settle(attempt, _RESET, now)
