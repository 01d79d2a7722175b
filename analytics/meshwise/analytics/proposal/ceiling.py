"""How much load the callee bears, as far as its policies and the record tell: no proposal may send it more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from meshwise.analytics.proposal.config import ProposalConfig
from meshwise.analytics.replay.attempts import AttemptKey, Attempts
from meshwise.analytics.replay.blocks import Blocks
from meshwise.analytics.replay.load import load_of
from meshwise.analytics.world import EdgeSeries, World
from meshwise.contracts.policy import ANY, Policy

_BUSY = 0.95


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Most attempts per request in busy times, and why."""

    attempts: float
    reason: str


def load_ceiling(
    key: AttemptKey,
    blocks: Blocks,
    now: Attempts,
    world: World,
    policies: Sequence[Policy],
    *,
    config: ProposalConfig,
) -> Ceiling | None:
    """Return the lowest ceiling known for the attempts of one route, ``None`` where none is.

    There are two kinds: the rate towards which answers slow down, where the record shows one, and the callee's own
    limit of requests a second, of which other callers take their share.
    """
    return min(
        (*_slowing(blocks, config), *_limited(key, now, world, policies, config=config)), key=_attempts, default=None
    )


def _attempts(ceiling: Ceiling) -> float:
    return ceiling.attempts


def _slowing(blocks: Blocks, config: ProposalConfig) -> Iterator[Ceiling]:
    load = load_of(blocks)
    busy = max(1e-9, float(np.quantile(blocks.rate, _BUSY)))
    if load is not None and math.isfinite(load.limit):
        yield Ceiling(
            config.ceiling_share * load.limit / busy,
            f"answers slow down towards {load.limit:.0f} attempts a second, of which {busy:.0f} come in busy times",
        )
    if load is not None and math.isfinite(load.served):
        yield Ceiling(load.served / busy, f"of {busy:.0f} a second in busy times it serves {load.served:.0f}")


def _limited(
    key: AttemptKey, now: Attempts, world: World, policies: Sequence[Policy], *, config: ProposalConfig
) -> Iterator[Ceiling]:
    rates = {edge: _busy_rate(series) for edge, series in world.edges.items() if edge.destination == key.destination}
    mine = sum(rate for edge, rate in rates.items() if edge.source == key.source)
    instances = len(np.unique(now.endpoint))
    if not mine:
        return
    for policy in policies:
        limit = policy.limit
        if limit is None or limit.requests_per_second is None or policy.match.service not in (ANY, key.destination):
            continue
        if policy.match.source not in (None, key.source):
            continue
        every = limit.requests_per_second * instances
        shared = policy.match.source is None and limit.per == "all"
        others = sum(rates.values()) - mine if shared else 0.0
        yield Ceiling(
            max(0.0, config.ceiling_share * every - others) / mine,
            f"{key.destination} lets {every:g} requests a second through by {policy.name}",
        )


def _busy_rate(series: EdgeSeries) -> float:
    rate = np.asarray(series.observed.requests, dtype=np.float64) / series.observed.bucket_s
    return float(np.quantile(rate[rate > 0], _BUSY)) if (rate > 0).any() else 0.0
