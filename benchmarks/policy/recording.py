"""What proxies record of a run: each attempt as it ended for the caller, cut off where a timeout cut it off."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from benchmarks.policy.budgets import FloatArray, IntArray
from benchmarks.policy.system import ATTEMPTS, Run
from meshwise.analytics.replay.attempts import MAX_PER_ROUTE, Attempts
from meshwise.analytics.world import Window, World
from meshwise.contracts.histogram import SCALE
from meshwise.contracts.rows import EdgeBucket
from meshwise.contracts.telemetry import OUTCOMES

EPOCH_S: Final = 1_800_000_000.0
"""Start of every recording, a multiple of ten seconds."""
BUCKET_S: Final = 10


def recorded(run: Run, post: float, rng: np.random.Generator, most: int = MAX_PER_ROUTE) -> Attempts:
    """Return the attempts of a run as proxies record them; of more than ``most``, whole requests are sampled.

    ``post`` is the share of requests sent as POST.
    """
    kept = np.flatnonzero(rng.permutation(len(run.made)) * run.amplification < most)
    request, ordinal = np.nonzero(np.arange(ATTEMPTS)[None, :] < run.made[kept, None])
    request = kept[request]
    at = (request, ordinal)
    return Attempts.from_columns(
        start=EPOCH_S + run.start[at],
        duration=run.duration[at],
        cut=run.cut[at],
        ordinal=ordinal + 1,
        status=run.status[at],
        policy_version=np.full(len(request), run.policy.version),
        final=ordinal == run.final[request],
        outcome=np.array(OUTCOMES)[run.outcome[at]],
        request_id=request.astype(str),
        endpoint=np.char.add("callee-", run.draws.endpoint[at].astype(str)),
        instance=np.char.add("caller-", run.draws.instance[request].astype(str)),
        source=np.full(len(request), "caller"),
        destination=np.full(len(request), "callee"),
        method=np.where(run.draws.post[request] < post, "POST", "GET"),
    )


def counted(run: Run) -> World:
    """Return what the callers' proxies count of a run, all of its requests, in a window that ends with it.

    Requests and their waits by how they ended, attempts by how each did, per ten seconds. No other edge was seen.
    """
    made = np.arange(ATTEMPTS)[None, :] < run.made[:, None]
    over, ended = run.draws.arrival + run.clock, run.outcome[np.arange(len(run.made)), run.final]
    wait = np.ceil(np.log2(np.maximum(run.clock, 1e-9)) * 2**SCALE).astype(np.int64) - 1
    waits: dict[tuple[int, int], dict[int, int]] = {}
    for (bucket, outcome, index), count in _counts(_bucket(over), ended, wait):
        waits.setdefault((bucket, outcome), {})[index] = count
    attempt, ends, again = _bucket((run.start + run.duration)[made]), run.outcome[made], np.nonzero(made)[1] > 0
    sent, retried = dict(_counts(attempt, ends)), dict(_counts(attempt[again], ends[again]))
    rows = [
        EdgeBucket(
            bucket=datetime.fromtimestamp(EPOCH_S + BUCKET_S * bucket, UTC),
            source="caller",
            destination="callee",
            route="",
            method="GET",
            side="client",
            instance="",
            policy_version=run.policy.version,
            outcome=OUTCOMES[outcome],
            requests=sum(waits.get((bucket, outcome), {}).values()),
            attempts=sent.get((bucket, outcome), 0),
            retries=retried.get((bucket, outcome), 0),
            retries_denied=0,
            latency=waits.get((bucket, outcome), {}),
        )
        for bucket, outcome in sorted({*waits, *sent})
    ]
    end = datetime.fromtimestamp(EPOCH_S + float(np.ceil(run.start[made].max() + 1.0)), UTC)
    return World.from_buckets(Window(end - timedelta(seconds=900), end), rows, BUCKET_S)


def _bucket(seconds: FloatArray) -> IntArray:
    return np.asarray(seconds / BUCKET_S, dtype=np.int64)


def _counts(*columns: IntArray) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield each combination of values that occurs, with how often it does."""
    found, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
    for values, count in zip(found.T.tolist(), counts.tolist(), strict=True):
        yield tuple(values), count
