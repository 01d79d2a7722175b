"""What proxies record of a run: each attempt as it ended for the caller, cut off where a timeout cut it off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from benchmarks.policy.system import ATTEMPTS, Run
from meshwise.analytics.replay.attempts import MAX_PER_ROUTE, Attempts
from meshwise.analytics.world import Window, World
from meshwise.contracts.telemetry import OUTCOMES

EPOCH_S: Final = 1_800_000_000.0
"""Start of every recording, a multiple of ten seconds."""


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


def window_of(attempts: Attempts) -> World:
    """Return a world whose window ends with the recording, and in which no other edge was seen."""
    end = datetime.fromtimestamp(float(np.ceil(attempts.start[-1] + 1.0)), UTC)
    return World.from_buckets(Window(end - timedelta(seconds=900), end), [])
