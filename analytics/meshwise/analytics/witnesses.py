"""Attempts of proxies whose word counts: those that are unlike their peers are left out before anything is proposed.

The counterpart for single attempts of what the judge of canaries does with counts. A proxy that sends everything ten
times, or failures that its peers do not see, moves no proposal as long as such proxies are a minority of their service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from meshwise.analytics.peers import unlike
from meshwise.analytics.replay.attempts import Attempts
from meshwise.analytics.world import EdgeKey
from meshwise.contracts.rows import ProposalFinding


def trusted(attempts: Attempts) -> tuple[Attempts, Mapping[EdgeKey, tuple[str, ...]]]:
    """Return ``attempts`` without those of proxies unlike their peers on an edge, and these proxies by edge."""
    if not len(attempts):
        return attempts, {}
    keys = np.stack([attempts.source, attempts.destination], axis=1)
    edges, position = np.unique(keys, axis=0, return_inverse=True)
    kept, left_out = np.ones(len(attempts), dtype=np.bool_), {}
    for number, (source, destination) in enumerate(edges):
        rows = np.flatnonzero(position.reshape(-1) == number)
        names, which = np.unique(attempts.instance[rows], return_inverse=True)
        total = np.bincount(which, minlength=len(names))
        good = np.bincount(which, weights=attempts.ok[rows], minlength=len(names))
        odd = unlike(total, good)
        if odd.any():
            left_out[EdgeKey(str(source), str(destination))] = tuple(str(name) for name in names[odd])
            kept[rows[odd[which]]] = False
    return (attempts if kept.all() else attempts.select(kept)), left_out


def named(findings: Iterable[ProposalFinding], left_out: Mapping[EdgeKey, Sequence[str]]) -> Sequence[ProposalFinding]:
    """Say in the evidence of each finding whose attempts were left out."""
    found = []
    for finding in findings:
        names = left_out.get(EdgeKey(finding.source, finding.destination))
        if names and finding.evidence:
            evidence = json.loads(finding.evidence) | {"left_out": list(names)}
            finding = replace(finding, evidence=json.dumps(evidence, ensure_ascii=False))  # noqa: PLW2901
        found.append(finding)
    return found
