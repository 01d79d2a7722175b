"""What the notebook API returns: findings with ``.to_frame()``, a table as their rich form, and ``.figure()``.

Names come from telemetry, so everything that becomes HTML is escaped first.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pandas as pd

from meshwise.analytics import figures
from meshwise.analytics.cause.suspects import Incident, Suspect
from meshwise.analytics.map_compare import EdgeChange, MapChange, compare
from meshwise.analytics.map_export import FORMATS
from meshwise.analytics.map_paths import Path, amplified
from meshwise.analytics.rehearsal.compare import Rehearsal
from meshwise.analytics.replay.simulate import ASSUMPTIONS, MEASURES, ReplayResult
from meshwise.analytics.service_map import ServiceMap
from meshwise.analytics.slo.backtest import PastAlert
from meshwise.analytics.slo.inquiry import Backtest
from meshwise.analytics.slo.suggest import Suggestion, Suggestions, document_of
from meshwise.analytics.traces.calls import Call, calls
from meshwise.analytics.traces.critical import PathPart, by_route
from meshwise.analytics.traces.deadlines import Misfit, Waste, wasted
from meshwise.analytics.traces.model import Trace
from meshwise.analytics.world import World
from meshwise.contracts.policy import Policy
from meshwise.contracts.rows import (
    AlertFinding,
    AnomalyFinding,
    EdgeFinding,
    ProposalFinding,
    RolloutFinding,
    SloFinding,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = TypeVar("Row", bound=object)
MAX_SHOWN = 50
"""Rows that the rich form of a table shows."""


class Table(Generic[Row]):
    """Rows of one kind. Indexing and iterating give the typed rows, ``to_frame`` the table."""

    title = "findings"

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = tuple(rows)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per finding, one column per field."""
        names = [field.name for field in fields(self.rows[0])] if self.rows else []  # type: ignore[arg-type]  # rows are dataclasses
        return pd.DataFrame([[getattr(row, name) for name in names] for row in self.rows], columns=names)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Row:
        return self.rows[position]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.rows)} {self.title}>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{_table(self.to_frame())}"


class EdgeTable(Table[EdgeFinding]):
    """Edges of the map."""

    title = "edges"


class SloTable(Table[SloFinding]):
    """States of objectives."""

    title = "objectives"


class SuggestionTable(Table[Suggestion]):
    """Objectives that services could promise; ``refused`` says by service why there are none."""

    title = "suggested objectives"

    def __init__(self, found: Suggestions) -> None:
        super().__init__(found.suggestions)
        self.refused = dict(found.refused)

    def documents(self) -> list[dict[str, Any]]:
        """Return the suggested ones as OpenSLO documents, for ``meshwise slo apply``."""
        return [document_of(one) for one in self.rows if one.suggested]


class BacktestTable(Table[PastAlert]):
    """Alerts that would have fired; ``found`` has the score against marked incidents, of all and of pages alone."""

    title = "past alerts"

    def __init__(self, found: Backtest) -> None:
        super().__init__(found.alerts)
        self.found = found


class AnomalyTable(Table[AnomalyFinding]):
    """Anomaly scores of edges, the worst first."""

    title = "edges scored"


class AlertTable(Table[AlertFinding]):
    """Alerts, the newest first."""

    title = "alerts"


class CauseTable(Table[Suspect]):
    """Who is likely to blame, the likeliest first; empty when nobody was surely worse than usual."""

    title = "suspects"

    def __init__(self, found: Incident, rows: Sequence[Suspect]) -> None:
        super().__init__(rows)
        self.found = found

    @property
    def reason(self) -> str:
        """Why these, or why nobody."""
        return self.found.reason

    def candidates(self) -> pd.DataFrame:
        """Return every node that was judged, blamed or not: its usual and its value, in deviations, and its share."""
        ranking = self.found.ranking
        rows = [
            {
                "node": one.node,
                "share": one.share,
                "blamed": one.blamed,
                "usual": one.deviation.usual,
                "during": one.deviation.during,
                "sigmas": one.deviation.sigmas,
            }
            for one in (ranking.candidates if ranking is not None else ())
        ]
        return pd.DataFrame(rows)

    def figure(self) -> Figure:
        """Return the candidates' shares of the symptom as a plot."""
        return figures.cause_figure(self.found)


class ChangeTable(Table[EdgeChange]):
    """Edges that changed between two windows; ``appeared`` and ``vanished`` name services."""

    title = "changes"

    def __init__(self, found: MapChange) -> None:
        super().__init__(found.edges)
        self.appeared = found.appeared
        self.vanished = found.vanished


class CallTable(Table[Call]):
    """Edges by traces."""

    title = "edges by traces"


class PathTable(Table[PathPart]):
    """Parts of critical paths."""

    title = "parts of critical paths"

    def figure(self) -> Figure:
        """Return what each operation takes of its route's time, as a plot."""
        return figures.path_figure(self.rows)


class WasteTable(Table[Waste]):
    """Edges whose callers gave up while the callee went on."""

    title = "edges with wasted work"


class MisfitTable(Table[Misfit]):
    """Timeouts that do not fit into each other."""

    title = "timeouts that do not fit"


class TraceSet:
    """Traces, and the questions to ask of them. ``problems`` counts what was mended in them.

    ``total`` is how many there are, where only some are looked at.
    """

    def __init__(self, traces: Sequence[Trace], total: int = 0) -> None:
        self.traces = tuple(traces)
        self.total = max(total, len(self.traces))

    @property
    def problems(self) -> dict[str, int]:
        """What was wrong with the traces, by kind (``traces.model``)."""
        found: dict[str, int] = {}
        for trace in self.traces:
            for kind, count in trace.problems.items():
                found[kind] = found.get(kind, 0) + count
        return found

    def calls(self) -> CallTable:
        """Return who called whom, with error bars where only a sample was traced."""
        return CallTable(calls(self.traces, self.total / max(1, len(self.traces))))

    def critical_paths(self) -> PathTable:
        """Return what each operation takes of the critical path of every route, and its slack elsewhere."""
        return PathTable(by_route(self.traces))

    def wasted(self) -> WasteTable:
        """Return what callees did for callers that had given up."""
        return WasteTable(wasted(self.traces))

    def __len__(self) -> int:
        return len(self.traces)

    def __repr__(self) -> str:
        return f"<TraceSet: {len(self.traces)} traces, {sum(len(trace.spans) for trace in self.traces)} spans>"


class ProposalTable(Table[ProposalFinding]):
    """Proposals and refusals."""

    title = "proposals"

    def figure(self, position: int = 0) -> Figure:
        """Return the evidence of one proposal as a plot: what an attempt timeout costs and gains.

        Raises:
            ValueError: the proposal carries no curve, as a refusal does not.
        """
        return figures.proposal_figure(self.rows[position])

    def hedges(self, position: int = 0) -> Figure:
        """Return the hedges tried for one proposal as a plot: what each delay costs and gains.

        Raises:
            ValueError: no hedge was tried for it.
        """
        return figures.hedge_figure(self.rows[position])


@dataclass(frozen=True, eq=False)
class Replayed:
    """What a policy would have done to one route."""

    source: str
    destination: str
    route: str
    policy: Policy
    result: ReplayResult


class ReplayTable(Table[Replayed]):
    """A policy, replayed on every route it matches."""

    title = "routes replayed"

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What must hold for the predictions to hold."""
        return ASSUMPTIONS

    def to_frame(self) -> pd.DataFrame:
        """Return one row per route: each prediction with the ends of its interval."""
        rows = []
        for one in self.rows:
            row: dict[str, object] = {"source": one.source, "destination": one.destination, "route": one.route}
            for name in MEASURES:
                estimate = getattr(one.result, name)
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            rows.append(row | {"samples": one.result.samples})
        return pd.DataFrame(rows)


class VerdictTable(Table[RolloutFinding]):
    """What the judge said about rollouts."""

    title = "verdicts"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per verdict: requests of both arms, and the difference in good ones with its bounds.

        ``promote_low`` is what the difference is above, ``harm_high`` what it is below, at all times together. One
        ``of`` a shadow has the attempts it was judged on instead, and the shares of them answered well in force and
        under the candidate.
        """
        rows = []
        for one in self.rows:
            evidence = json.loads(one.evidence or "{}")
            good, canary, control = (evidence.get(name) or {} for name in ("good", "canary", "control"))
            shadow, success = (evidence.get(name) or {} for name in ("shadow", "success"))
            judged = [shadow.get(name, 0) for name in ("kept", "lost", "again_ok", "again_bad", "failed", "unknown")]
            rows.append(
                {
                    "at": one.at,
                    "rollout": one.rollout_id,
                    "policy": one.policy_name,
                    "of": "shadow" if shadow else "canary",
                    "stage": one.stage,
                    "decision": one.decision,
                    "shadow_attempts": sum(judged) if shadow else None,
                    "in_force": success.get("in_force"),
                    "candidate": success.get("candidate"),
                    "canary_requests": canary.get("requests"),
                    "control_requests": control.get("requests"),
                    "difference": good.get("difference"),
                    "promote_low": good.get("promote_low"),
                    "harm_high": good.get("harm_high"),
                    "reason": one.reason,
                }
            )
        return pd.DataFrame(rows)


class RehearsalTable(Table[Rehearsal]):
    """A policy, rehearsed beside the policy in force on every edge it matches."""

    title = "edges rehearsed"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge, trigger and policy: goodput, time to recovery, the load up to which it recovers."""
        rows = []
        for one in self.rows:
            for under in one.compared:
                for name, played in (("in force", under.current), ("tried", under.proposed)):
                    rows.append(
                        {
                            "source": one.source,
                            "destination": one.destination,
                            "trigger": under.trigger.kind,
                            "policy": name,
                            "recovers": played.recovers,
                            "recovered_s": played.run.recovered_s,
                            "goodput_before": played.run.before,
                            "goodput_during": played.run.during,
                            "goodput_after": played.run.after,
                            "attempts_per_call": played.run.amplification,
                            "recovers_up_to_load": played.limit,
                        }
                    )
        return pd.DataFrame(rows)


class AmplifiedTable(Table[Path]):
    """Paths from an entry of the mesh, and how many attempts one request becomes at their end."""

    title = "paths whose retries multiply"


@dataclass(frozen=True, eq=False, repr=False)
class MapView:
    """The service map of a window; with ``calls`` also what traces say of its edges."""

    found: ServiceMap
    calls: tuple[Call, ...] = ()

    @property
    def edges(self) -> EdgeTable:
        """The edges with their numbers from both sides."""
        return EdgeTable(self.found.edges)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge.

        With ``calls`` a row also has ``asynchronous``, how many spans were ``sampled``, and the rate of calls that
        these stand for, ``sampled_rate`` between ``sampled_rate_low`` and ``_high`` (95 %). Edges that nobody counts
        have nothing else.
        """
        frame = self.edges.to_frame()
        if not self.calls:
            return frame
        told = _sampled(self.calls, self.found.window.seconds)
        return told.merge(frame, on=["source", "destination"], how="outer").reindex(
            columns=[*frame.columns, *(name for name in told.columns if name not in frame.columns)]
        )

    def export(self, form: str) -> str:
        """Return the map as ``json``, ``dot``, ``mermaid`` or ``graphml``.

        Raises:
            ValueError: it is none of them.
        """
        if form not in FORMATS:
            raise ValueError(f"a map can be {', '.join(FORMATS)}, not {form!r}")
        return FORMATS[form](self.found)

    def paths(self) -> AmplifiedTable:
        """Return the paths along which retries multiply, the worst to every service."""
        return AmplifiedTable(amplified(self.found))

    def compared_with(self, earlier: MapView) -> ChangeTable:
        """Return what changed since an earlier window: what appeared, vanished, slowed, failed or grew."""
        return ChangeTable(compare(earlier.found, self.found))

    def figure(self) -> Figure:
        """Return the map as a plot: callers left, callees right, width by rate, colour by error share."""
        late = {(one.source, one.destination) for one in self.calls if one.asynchronous}
        return figures.map_figure(self.found, late)

    def __repr__(self) -> str:
        window = self.found.window
        return (
            f"<MapView: {len(self.found.nodes)} services, {len(self.found.edges)} edges, "
            f"{window.start:%Y-%m-%d %H:%M:%S} … {window.end:%H:%M:%S} UTC>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{_table(self.to_frame())}"


def _sampled(found: Sequence[Call], seconds: float) -> pd.DataFrame:
    """Return one row per edge: a call that is waited for and one that is not may be of the same two."""
    edges: dict[tuple[str, str], list[Call]] = {}
    for one in found:
        edges.setdefault((one.source, one.destination), []).append(one)
    rows = []
    for (source, destination), ones in edges.items():
        total = sum(one.calls for one in ones)
        # The intervals are independent, so their halves add up in squares.
        half = math.hypot(*(one.high - one.calls for one in ones))
        sampled = sum(one.sampled for one in ones)
        rows.append(
            {
                "source": source,
                "destination": destination,
                "asynchronous": all(one.asynchronous for one in ones),
                "sampled": sampled,
                "sampled_rate": total / seconds,
                "sampled_rate_low": max(float(sampled), total - half) / seconds,
                "sampled_rate_high": (total + half) / seconds,
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False, repr=False)
class SeriesView:
    """Every edge over time."""

    world: World

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge and bucket: rate, error share, latencies in seconds, retries."""
        parts = []
        for key, series in self.world.edges.items():
            side = series.observed
            parts.append(
                pd.DataFrame(
                    {
                        "time": self.world.times,
                        "source": key.source,
                        "destination": key.destination,
                        "requests": side.requests,
                        "rate": side.rate,
                        "error_share": side.error_share,
                        "p50": side.quantile(0.50),
                        "p95": side.quantile(0.95),
                        "p99": side.quantile(0.99),
                        "attempts": series.attempts,
                        "retries": series.retries,
                        "retries_denied": series.retries_denied,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def figure(self, source: str, destination: str) -> Figure:
        """Return one edge over time: rate, error share and percentiles.

        Raises:
            KeyError: there was no such edge in the window.
        """
        return figures.edge_figure(self.world, source, destination)

    def __repr__(self) -> str:
        return f"<SeriesView: {len(self.world.edges)} edges, {self.world.size} buckets of {self.world.bucket_s} s>"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{_table(self.to_frame())}"


def _table(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "<p>nothing in this window</p>"
    return str(frame.head(MAX_SHOWN).to_html(escape=True, index=False, float_format="{:.4g}".format, na_rep="–"))
