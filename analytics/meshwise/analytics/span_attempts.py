"""Proposals for edges that no proxy of ours counts, from the spans of applications and of Envoys.

One span of an application is one request and one attempt: what a library repeats by itself cannot be told apart. An
Envoy tells of each attempt where it is configured to. The timeouts in force are not known. Such a proposal rests on
what applications and Envoys say of themselves, and no proxy could try it; so its status is ``export_only``, nothing
submits it, and a person carries it over in the dialect of whatever is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.replay.attempts import MAX_ATTEMPTS, MAX_PER_ROUTE, Attempts
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import EdgeKey, Window
from meshwise.contracts import envoy_spans
from meshwise.contracts.rows import SPANS_INSTANCE, ProposalFinding
from meshwise.contracts.telemetry import SCOPE

EXPORT_ONLY: Final = "export_only"
ASSUMPTIONS: Final = (
    "one span of a client is one request and one attempt: retries that its library makes look like requests",
    "the timeouts in force are not known, and are taken to be the built-in defaults",
    "applications report on themselves: nothing checks their counts",
)
ENVOY_ASSUMPTIONS: Final = (
    "an Envoy that spawns upstream spans tells of each attempt; of another one, a request and its retries look like "
    "one attempt",
    "the timeouts in force are not known, and are taken to be the built-in defaults",
    "Envoys report on themselves: nothing checks their counts",
)
_COLUMNS: Final = (
    "start",
    "duration",
    "status",
    "outcome",
    "request_id",
    "endpoint",
    "instance",
    "source",
    "destination",
    "method",
    "ordinal",
    "final",
)
"""Order of the columns of ``span_attempts.sql``, but for the last: whether an Envoy told of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Attempts on edges that no proxy of ours counts, and of which of these edges an Envoy told."""

    attempts: Attempts
    by_envoys: frozenset[EdgeKey]


def load_span_attempts(client: Client, window: Window) -> Told:
    """Return the calls that ended in ``window`` as applications and Envoys told of them."""
    result = client.query(
        load_sql("span_attempts"),
        parameters={
            "start": int(window.start.timestamp()),
            "end": int(window.end.timestamp()),
            "scope": SCOPE,
            "derived": SPANS_INSTANCE,
            "max_per_route": MAX_PER_ROUTE,
            "max_rows": MAX_ATTEMPTS,
            **envoy_spans.PARAMETERS,
        },
    )
    rows = result.result_rows
    *columns, by_envoy = list(zip(*rows, strict=True)) if rows else [()] * (len(_COLUMNS) + 1)
    named = dict(zip(_COLUMNS, columns, strict=True))
    edges = zip(named["source"], named["destination"], by_envoy, strict=True)
    return Told(
        Attempts.from_columns(**named),
        frozenset(EdgeKey(source, destination) for source, destination, envoy in edges if envoy),
    )


def for_export(findings: Iterable[ProposalFinding], by_envoys: AbstractSet[EdgeKey]) -> Sequence[ProposalFinding]:
    """Mark what was proposed from spans: only for export, and what that rests on."""
    return [_marked(finding, EdgeKey(finding.source, finding.destination) in by_envoys) for finding in findings]


def _marked(finding: ProposalFinding, by_envoy: bool) -> ProposalFinding:
    try:
        evidence = json.loads(finding.evidence)
    except ValueError:
        evidence = {}
    if not isinstance(evidence, dict):
        evidence = {}
    rests_on = ENVOY_ASSUMPTIONS if by_envoy else ASSUMPTIONS
    assumptions = [*rests_on, *(evidence.get("assumptions") or ())]
    evidence |= {"origin": "spans of Envoys" if by_envoy else "spans of applications", "assumptions": assumptions}
    marked = replace(finding, evidence=json.dumps(evidence, ensure_ascii=False))
    if finding.status != "proposed":
        return marked
    where = f"There is no proxy to try it: meshwise policy export --proposal {finding.id}"
    return replace(marked, status=EXPORT_ONLY, sentence=f"{finding.sentence} {where}")
