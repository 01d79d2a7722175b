"""Proposals for edges that no proxy counts, from the client spans of applications.

One span is one request and one attempt: what a library repeats by itself cannot be told apart, and the timeouts in
force are not known. Such a proposal rests on what applications say of themselves, and no proxy could try it; so its
status is ``export_only``, nothing submits it, and a person carries it over in the dialect of whatever is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from meshwise.analytics.load import Client
from meshwise.analytics.replay.attempts import MAX_ATTEMPTS, MAX_PER_ROUTE, Attempts
from meshwise.analytics.sql import load_sql
from meshwise.analytics.world import Window
from meshwise.contracts.rows import SPANS_INSTANCE, ProposalFinding
from meshwise.contracts.telemetry import SCOPE

EXPORT_ONLY: Final = "export_only"
ASSUMPTIONS: Final = (
    "one span of a client is one request and one attempt: retries that its library makes look like requests",
    "the timeouts in force are not known, and are taken to be the built-in defaults",
    "applications report on themselves: nothing checks their counts",
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
)
"""Order of the columns of ``span_attempts.sql``."""


def load_span_attempts(client: Client, window: Window) -> Attempts:
    """Return the calls that applications told of and that ended in ``window``, on edges that no proxy counts."""
    result = client.query(
        load_sql("span_attempts"),
        parameters={
            "start": int(window.start.timestamp()),
            "end": int(window.end.timestamp()),
            "scope": SCOPE,
            "derived": SPANS_INSTANCE,
            "max_per_route": MAX_PER_ROUTE,
            "max_rows": MAX_ATTEMPTS,
        },
    )
    rows = result.result_rows
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    return Attempts.from_columns(**dict(zip(_COLUMNS, columns, strict=True)))


def for_export(findings: Iterable[ProposalFinding]) -> Sequence[ProposalFinding]:
    """Mark what was proposed from spans: only for export, and what that rests on."""
    return [_marked(finding) for finding in findings]


def _marked(finding: ProposalFinding) -> ProposalFinding:
    try:
        evidence = json.loads(finding.evidence)
    except ValueError:
        evidence = {}
    if not isinstance(evidence, dict):
        evidence = {}
    assumptions = [*ASSUMPTIONS, *(evidence.get("assumptions") or ())]
    evidence |= {"origin": "spans of applications", "assumptions": assumptions}
    marked = replace(finding, evidence=json.dumps(evidence, ensure_ascii=False))
    if finding.status != "proposed":
        return marked
    where = f"There is no proxy to try it: meshwise policy export --proposal {finding.id}"
    return replace(marked, status=EXPORT_ONLY, sentence=f"{finding.sentence} {where}")
