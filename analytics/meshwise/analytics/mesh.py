"""The notebook's view of a mesh: the same functions as the service runs, over any window.

mesh = connect()
mesh.map(seconds=900).figure()
mesh.map(start=datetime(…, tzinfo=UTC), end=…).to_frame()
mesh.map(traces=True)           with edges of queues, and estimates where only a sample of spans exists
mesh.edges().figure("frontend", "recommendation")
mesh.replay(policy)             what it would have done to the requests of a window
mesh.verdicts()                 what the judge said about rollouts, with the counts it rested on
mesh.rehearse(policy)           whether the mesh would come back with it when something breaks
mesh.suggest()                  objectives that services could promise, by what they kept
mesh.backtest(documents)        which alerts would have fired, and how well they tell marked incidents
mesh.propose_again(rollout)     whether the proposal behind a rollout comes out again of what it was made from
mesh.propose()                  computed now; mesh.proposals() are those on record
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from meshwise.analytics.audits import audits_for
from meshwise.analytics.cause.explain import HOUR_S, YOUNG_S, with_traces
from meshwise.analytics.cause.suspects import suspects
from meshwise.analytics.cause.table import Metric
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.findings import persist
from meshwise.analytics.load import BulkClient, load_world, resolution_for, settled
from meshwise.analytics.service_map import service_map
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.audit import SloAudit
from meshwise.analytics.slo.backtest import Incident
from meshwise.analytics.slo.inquiry import run_backtest
from meshwise.analytics.slo.promises import Promises
from meshwise.analytics.slo.suggest import suggest
from meshwise.analytics.slo.waits import find_waits
from meshwise.analytics.sql import load_sql
from meshwise.analytics.totals import load_totals
from meshwise.analytics.traces.deadlines import misfits
from meshwise.analytics.traces.load import MAX_TRACES, count_traces, load_traces
from meshwise.analytics.views import (
    AlertTable,
    AnomalyTable,
    BacktestTable,
    CauseTable,
    MapView,
    MisfitTable,
    ProposalTable,
    RehearsalTable,
    Replayed,
    ReplayTable,
    SeriesView,
    SloTable,
    SuggestionTable,
    TraceSet,
    VerdictTable,
)
from meshwise.analytics.world import EdgeKey, Window, World
from meshwise.contracts.errors import ConfigError
from meshwise.contracts.policy import ANY, Policy, parse_policy
from meshwise.contracts.rows import AlertFinding, ProposalFinding, RolloutFinding
from meshwise.store.client import StoreAddress
from meshwise.store.findings import rows_from, select_rows

if TYPE_CHECKING:
    from meshwise.analytics.proposal.again import Again

DEFAULT_SPAN_S = 900.0


def connect(
    store: StoreAddress, *, control_url: str | None = None, control_token: str = "", tls: ssl.SSLContext | None = None
) -> Mesh:
    """Return a view of the mesh whose store answers at ``store``; ``tls`` is for a control at https.

    Raises:
        UnavailableError: the store does not answer.
    """
    client = store.connect(form_encode_query_params=True)
    control = ControlApi(control_url, token=control_token, tls=tls) if control_url else None
    return Mesh(client, AnalyticsSettings(), control=control)


class Mesh:
    """One mesh, read through its store. ``settings`` tune the audits as they do for the service."""

    def __init__(self, client: BulkClient, settings: AnalyticsSettings, *, control: ControlApi | None = None) -> None:
        self._client = client
        self._settings = settings
        self._control = control
        self._audits = audits_for(settings)

    def world(
        self, seconds: float | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> World:
        """Return the model of a window: the last ``seconds`` (900 by default), or ``start`` to ``end``.

        Raises:
            ValueError: the window is empty, or both ways were used.
        """
        window = self._window(seconds, start, end)
        return load_world(self._client, window, resolution_for(window, datetime.now(UTC)))

    def map(
        self,
        seconds: float | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        traces: bool = False,
    ) -> MapView:
        """Return the service map of a window.

        With ``traces`` also what they say: edges that nobody waits for, and estimates where nobody counts.
        """
        window = self._window(seconds, start, end)
        found = service_map(load_totals(self._client, window, datetime.now(UTC)))
        told = self.traces(start=window.start, end=window.end).calls() if traces else ()
        return MapView(found, tuple(told))

    def edges(
        self, seconds: float | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> SeriesView:
        """Return every edge of a window over time."""
        return SeriesView(self.world(seconds, start=start, end=end))

    def slo(self, end: datetime | None = None) -> SloTable:
        """Return the state of every objective as of ``end`` (now by default)."""
        end = end or datetime.now(UTC)
        states = self._slo_audit().run(Promises(self._client, persist).refresh().objectives, end, end)
        return SloTable([state.finding for state in states])

    def suggest(self, days: float = 28.0, service: str = "", end: datetime | None = None) -> SuggestionTable:
        """Return what services, or ``service`` alone, could promise by their last ``days``, with what would be left."""
        end = end or datetime.now(UTC)
        waits = find_waits(self._client, int(end.timestamp()), self._settings.slo_wait_s)
        return SuggestionTable(suggest(self._client, end - timedelta(days=days), end, waits, service))

    def backtest(
        self,
        documents: Sequence[object] | None = None,
        *,
        days: float = 28.0,
        end: datetime | None = None,
        incidents: Sequence[Incident] = (),
    ) -> BacktestTable:
        """Return which alerts of OpenSLO ``documents`` would have fired in the last ``days``, scored by ``incidents``.

        Without documents every objective in force is tested, those that services have by default too.

        Raises:
            WrongDocumentsError: the documents are wrong; every problem is named.
            DocumentError: there is nothing to test, or too much at once.
        """
        end, settings = end or datetime.now(UTC), self._settings
        promises = Promises(self._client, persist, None)  # whom alerts are told matters not
        if documents is None:
            audit = self._slo_audit()
            audit.run(promises.refresh().objectives, end, end)
            objectives = audit.objectives
        else:
            promises.refresh()
            objectives = promises.objectives_of(documents)
        return BacktestTable(
            run_backtest(
                self._client,
                objectives,
                incidents,
                end=end,
                days=days,
                waits=find_waits(self._client, int(end.timestamp()), settings.slo_wait_s),
                min_bad=settings.slo_min_bad_requests,
                for_s=settings.alert_for_s,
                keep_s=settings.alert_keep_s,
            )
        )

    def anomalies(
        self, seconds: float | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> AnomalyTable:
        """Return the anomaly score of every edge in a window, the worst first."""
        found = self._audits.detect(self._client, self.world(seconds, start=start, end=end))
        return AnomalyTable(sorted(found, key=lambda anomaly: -anomaly.score))

    def alerts(self, days: float = 7.0) -> AlertTable:
        """Return the newest state of every alert of the last ``days``, the newest first."""
        since = datetime.now(UTC) - timedelta(days=days)
        found: dict[tuple[str, datetime], AlertFinding] = {}
        client: Any = self._client
        where = "at >= {since:DateTime64(3)}"
        for alert in select_rows(client, AlertFinding, where, {"since": since}, order="at DESC", limit=10_000):
            found.setdefault((alert.fingerprint, alert.started_at), alert)
        return AlertTable(list(found.values()))

    def causes(self, service: str, at: datetime | None = None, *, metric: str = "errors") -> CauseTable:
        """Return who is likely to blame for the ``errors`` or the ``latency`` of ``service`` at about ``at`` (now).

        Raises:
            ValueError: the metric is neither.
        """
        if metric not in ("errors", "latency"):
            raise ValueError(f"metric is errors or latency, not {metric!r}")
        now = datetime.now(UTC)
        at = at or now
        # An hour before tells what was usual; a quarter of an hour after it how it went on.
        window = Window(at - timedelta(seconds=HOUR_S), min(at + timedelta(seconds=900), now)).aligned(60)
        fine = resolution_for(window, now)
        world = load_world(self._client, window, max(fine, 60))
        if world.measured_s < YOUNG_S and fine < 60:
            world = load_world(self._client, window, fine)
        found = suspects(world, service, Metric(metric), at, self._settings.cause)
        return CauseTable(found, with_traces(self._client, found))

    def traces(
        self,
        seconds: float | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        service: str = "",
        limit: int = MAX_TRACES,
    ) -> TraceSet:
        """Return at most ``limit`` traces of a window, those through ``service`` when one is named."""
        window = self._window(seconds, start, end)
        found = load_traces(self._client, window, service=service, limit=limit)
        # Where they are as many as were asked for, there may be more.
        full = len(found) >= min(limit, MAX_TRACES)
        return TraceSet(found, count_traces(self._client, window, service=service) if full else 0)

    def deadlines(
        self, seconds: float | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> MisfitTable:
        """Return timeouts and retries in force that cannot fit along the edges of a window."""
        edges = load_totals(self._client, self._window(seconds, start, end), datetime.now(UTC)).edge_keys
        return MisfitTable(misfits(self._policies(), edges))

    def proposals(self, days: float = 30.0, *, statuses: Sequence[str] = ()) -> ProposalTable:
        """Return the last proposal on record for every route, at most ``days`` old, the newest first.

        ``statuses`` leaves out what had none of them: ``("proposed", "submitted")`` are changes, not refusals.
        """
        since = int(datetime.now(UTC).timestamp() - days * 86_400)
        parameters = {"since": max(0, since), "statuses": list(statuses)}
        result = self._client.query(load_sql("proposals_latest"), parameters=parameters)
        return ProposalTable(rows_from(ProposalFinding, result.result_rows))

    def verdicts(self, rollout_id: str = "", days: float = 30.0) -> VerdictTable:
        """Return what the judge said about rollouts, or about one, in order of time, at most ``days`` ago."""
        since = int(datetime.now(UTC).timestamp() - days * 86_400)
        parameters = {"since": max(0, since), "rollout": rollout_id}
        result = self._client.query(load_sql("verdicts"), parameters=parameters)
        return VerdictTable(rows_from(RolloutFinding, result.result_rows))

    def propose(
        self, seconds: float | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> ProposalTable:
        """Return what would be proposed from the attempts of a window; nothing is recorded or submitted."""
        window = self._window(seconds, start, end)
        world = load_world(self._client, window, resolution_for(window, datetime.now(UTC)))
        return ProposalTable(self._audits.propose(self._client, window, world, self._policies()))

    def propose_again(self, rollout: Mapping[str, Any]) -> Again:
        """Return whether the proposal behind a rollout, control's document, comes out again of what it was made from.

        Raises:
            UnavailableError: the store or control does not answer.
            MeshwiseError: a policy that was in force is no longer on record, or there is no control to ask.
            ValueError: the rollout's evidence cannot be read.
        """
        from meshwise.analytics.proposal.again import propose_again

        if self._control is None:
            raise ConfigError("what was in force then is on record at control: connect with control_url")
        return propose_again(self._client, rollout, self._control.policies_at)

    def replay(
        self,
        policy: Mapping[str, Any] | Policy,
        seconds: float | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> ReplayTable:
        """Return what ``policy`` would have done to each route it matches, in the attempts recorded in a window.

        Raises:
            DocumentError: the policy document is wrong.
        """
        from meshwise.analytics.replay.attempts import load_attempts
        from meshwise.analytics.replay.simulate import replay

        parsed = policy if isinstance(policy, Policy) else parse_policy(policy)
        match = parsed.match
        replayed = []
        window = self._window(seconds, start, end)
        world = load_world(self._client, window, resolution_for(window, datetime.now(UTC)))
        for key, attempts in load_attempts(self._client, window).counted(world).groups():
            fits = match.service in (ANY, key.destination) and match.source in (None, key.source)
            if fits and match.route in (None, key.route) and (attempts.ordinal == 1).any():
                result = replay(attempts, parsed, seed=self._settings.proposal.seed)
                replayed.append(Replayed(key.source, key.destination, key.route, parsed, result))
        return ReplayTable(replayed)

    def rehearse(
        self,
        policy: Mapping[str, Any] | Policy,
        seconds: float | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> RehearsalTable:
        """Return how the mesh of a window would come through a trigger with ``policy``, beside the policy in force.

        Every edge that the policy matches is rehearsed, with whatever calls its caller and is called by its callee.

        Raises:
            DocumentError: the policy document is wrong.
            ValueError: calls go round in a circle.
        """
        from meshwise.analytics.proposal.candidates import governing
        from meshwise.analytics.rehearsal.compare import rehearse
        from meshwise.analytics.rehearsal.learn import learn
        from meshwise.analytics.replay.attempts import AttemptKey, load_attempts

        parsed = policy if isinstance(policy, Policy) else parse_policy(policy)
        window = self._window(seconds, start, end)
        world = load_world(self._client, window, resolution_for(window, datetime.now(UTC)))
        attempts, in_force, config = load_attempts(self._client, window), self._policies(), self._settings.rehearsal

        def policy_of(edge: EdgeKey) -> Policy:
            return governing(AttemptKey(edge.source, edge.destination, parsed.match.route or ""), in_force)

        def limiter_of(edge: EdgeKey) -> Policy:
            key = AttemptKey(edge.source, edge.destination, parsed.match.route or "")
            return governing(key, (one for one in in_force if one.limit is not None))

        found = []
        for edge, series in world.edges.items():
            fits = parsed.match.service in (ANY, edge.destination) and parsed.match.source in (None, edge.source)
            if not fits or not series.observed.requests.sum():
                continue
            learned = learn(world, attempts, edge, policy_of, config, limiter_of=limiter_of)
            found.append(
                rehearse(learned.graph, edge, policy_of(edge), parsed, config, assumptions=learned.assumptions)
            )
        return RehearsalTable(found)

    def _slo_audit(self) -> SloAudit:
        settings = self._settings
        return SloAudit(
            self._client,
            settings.default_objective,
            settings.objectives,
            min_bad=settings.slo_min_bad_requests,
            wait_s=settings.slo_wait_s,
        )

    def _policies(self) -> tuple[Policy, ...]:
        return self._control.policies() if self._control else ()

    def _window(self, seconds: float | None, start: datetime | None, end: datetime | None) -> Window:
        if start is None and end is None:
            return settled(seconds or DEFAULT_SPAN_S, datetime.now(UTC), self._settings.settle_s)
        if start is None or end is None or seconds is not None:
            raise ValueError("give either seconds, or start and end")
        return Window(start, end)

    def close(self) -> None:
        """Close the connections."""
        if self._control:
            self._control.close()
        client: Any = self._client
        client.close()
