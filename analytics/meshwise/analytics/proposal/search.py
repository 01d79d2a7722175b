"""Replay what is worth trying on one route: the grid of timeouts and retries, then refinements of its best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from meshwise.analytics.proposal.candidates import Grid, same
from meshwise.analytics.proposal.choice import Trial, gain, may_be_within_limits, ranked, within_limits
from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.proposal.refinements import hedge_delays, hedged, varied
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.replay.blocks import Blocks
from meshwise.analytics.replay.simulate import replay
from meshwise.contracts.policy import Policy


@dataclass
class Search:
    """The trials of one route: ``grid`` of timeouts and retries, ``more`` beyond it.

    ``current`` is the policy in force with its replay; ``is_open`` tells whether a policy may be tried at all,
    ``ceiling`` the most attempts per request that the callee bears.
    """

    blocks: Blocks
    current: Trial
    config: ProposalConfig
    is_open: Callable[[Policy], bool]
    ceiling: float | None = None
    grid: list[Trial] = field(default_factory=list)
    more: list[Trial] = field(default_factory=list)

    def run(self, tried: Grid, now: Attempts) -> None:
        """Replay the grid, hedges of its best and of the policy in force, then everything else about the best."""
        self.grid = [self.replayed(policy) for policy in tried.variations]
        for start in (tried.own, *(trial.policy for trial in self.allowed()[:1])):
            self.hedge(start, now)
        best = self.allowed()
        # The policy in force may be the best, and its patience or its conditions too much all the same.
        for trial in (*best[:1], Trial(tried.own, self.current.result)):
            self._try(varied(trial.policy, now, trial.result, self.config))

    def hedge(self, start: Policy, now: Attempts) -> None:
        """Replay one policy with hedges, and without one that it has."""
        self._try(hedged(start, hedge_delays(now, self.current.policy, self.config), self.config))

    def allowed(self) -> list[Trial]:
        """Return the trials within all limits, the best first.

        Where the one with the shortest tail is not worth a change, the one with the shortest mean may be; and where
        no answer can be won, not to wait so long for what never comes.
        """
        trials = [*self.grid, *self.more]
        within = [one for one in trials if within_limits(one, self.current, self.config, self.ceiling)]
        found = ranked(within)
        if not found or self._is_worth_it(found[0]):
            return found
        other = ranked(within, ("mean_good", "p99_good"))
        if self._is_worth_it(other[0]):
            return other
        request = self.current.policy.timeout.request
        shorter = [one for one in found if one.policy.timeout.request < request and self._is_worth_it(one)]
        return [*shorter, *(one for one in found if one not in shorter)]

    def promises_more(self, best: Trial) -> bool:
        """Tell whether a policy that is left out only because its load is not sure yet would answer more requests."""
        least = best.result.success.value + self.config.min_success_gain
        return any(
            trial.result.success.value >= least
            and may_be_within_limits(trial, self.current, self.config, self.ceiling)
            and not within_limits(trial, self.current, self.config, self.ceiling)
            for trial in (*self.grid, *self.more)
        )

    def _is_worth_it(self, trial: Trial) -> bool:
        return gain(trial, self.current, self.config).is_worth_it

    def replayed(self, policy: Policy) -> Trial:
        """Return the replay of a policy; failures count as long as callers wait now."""
        config, patience = self.config, self.current.policy.timeout.request
        return Trial(policy, replay(self.blocks, policy, config.simulated_requests, config.seed, patience=patience))

    def _try(self, policies: Iterable[Policy]) -> None:
        known = [self.current.policy, *(trial.policy for trial in (*self.grid, *self.more))]
        for policy in policies:
            if self.is_open(policy) and not any(same(policy, other) for other in known):
                known.append(policy)
                self.more.append(self.replayed(policy))
