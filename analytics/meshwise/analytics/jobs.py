"""The cycle: derive edges from spans → load → map → objectives → anomalies → alerts → proposals → persist.

One cycle runs at a time, in one thread. A stage that fails is logged and counted and the others go on with what the
cycle before had found. Findings carry the time and the window they are about, so that running again overwrites no
history and loses none: rows that record an event (alerts, proposals) wait, bounded, while the store is away.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import orjson
import structlog

from meshwise.analytics.alerts.groups import Context
from meshwise.analytics.alerts.lifecycle import Alert, Alerts, Change, Timing, evaluations_of, step
from meshwise.analytics.alerts.messages import Telling, messages_for
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.silences import Silences, quiet_at
from meshwise.analytics.audits import Audits
from meshwise.analytics.board import Board
from meshwise.analytics.cause.suspects import Suspect
from meshwise.analytics.control_api import ControlApi, RefusedError
from meshwise.analytics.lease import Lease
from meshwise.analytics.load import BulkClient, load_world, settled
from meshwise.analytics.service_map import service_map
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.slo.audit import SloAudit
from meshwise.analytics.slo.evaluate import ObjectiveState
from meshwise.analytics.slo.promises import Promises
from meshwise.analytics.sql import load_sql
from meshwise.analytics.steering import Incident, Steered, steer
from meshwise.analytics.world import World
from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.policy import Policy
from meshwise.contracts.rows import AlertFinding, ProposalFinding
from meshwise.store.findings import rows_from

log = structlog.get_logger(__name__)

MAX_UNSAVED_ROWS: Final = 10_000
"""Events that wait for the store to come back; beyond that the oldest are dropped and counted."""
MAX_CAUSES: Final = 1000
"""Services whose last cause is remembered."""
FORGET_ALERTS_S: Final = 30 * 86_400.0

T = TypeVar("T")


Persist = Callable[[Any, Sequence[Any]], object]
"""Writes findings, all of one type, with a client of the store."""


class Cycle:
    """Runs the stages over one store and one control; keeps what must survive from one cycle to the next."""

    def __init__(
        self,
        settings: AnalyticsSettings,
        *,
        client: BulkClient,
        control: ControlApi,
        outbox: Outbox,
        audits: Audits,
        persist: Persist,
        derive: Callable[[datetime], object],
        promises: Promises,
        silences: Silences,
        lease: Lease | None = None,
    ) -> None:
        """Without a ``lease`` this is the only process there is."""
        self._settings = settings
        self._client = client
        self._control = control
        self._outbox = outbox
        self._audits = audits
        self._persist = persist
        self._derive = derive
        self.promises = promises
        self.silences = silences
        self.lease = lease
        self.telling = Telling(
            settings.alert_group_by, {webhook.name for webhook in settings.webhooks}, settings.external_url
        )
        self.slos = SloAudit(
            client,
            settings.default_objective,
            settings.objectives,
            min_bad=settings.slo_min_bad_requests,
            wait_s=settings.slo_wait_s,
        )
        self._timing = Timing(settings.alert_for_s, settings.alert_keep_s)
        self._alerts: Alerts | None = None
        self._policies: tuple[Policy, ...] | None = None
        self._proposed_at: datetime | None = None
        self._unsaved: deque[object] = deque()
        self._causes: dict[str, Suspect | None] = {}
        self._stages: dict[str, float] = {}
        self._failed: list[str] = []
        self.board = Board()
        self.runs = 0
        self.failures: dict[str, int] = {}
        self.rows_written = 0
        self.rows_dropped = 0

    def run(self, now: datetime) -> Board:
        """Run every stage once as of ``now`` and return what is known afterwards; never raises for a stage."""
        self.runs += 1
        self._stages, self._failed = {}, []
        board, settings = self.board, self._settings
        window = settled(settings.map_window_s, now, settings.settle_s)
        snapshot_rows: list[object] = []

        leads = self._leads()
        if leads:
            self._stage("spans", lambda: self._derive(now))
        world = self._stage("load", lambda: load_world(self._client, window))
        if world is not None:
            board = replace(board, loaded_at=now)
            found_map = self._stage("map", lambda: service_map(world, now))
            if found_map is not None:
                board = replace(board, service_map=found_map)
                snapshot_rows += found_map.edges
        states = self._stage("slo", lambda: self._objectives(window.end, now))
        if states is not None:
            board = replace(board, slos=tuple(state.finding for state in states))
            snapshot_rows += board.slos
            # What is drawn up once an hour must be by the one that writes it.
            if leads:
                snapshot_rows += self._stage("burn-down", lambda: self.slos.burn_downs(window.end, now)) or ()
        if world is not None:
            anomalies = self._stage("anomaly", lambda: tuple(self._audits.detect(self._client, world)))
            if anomalies is not None:
                board = replace(board, anomalies=anomalies)
                snapshot_rows += anomalies
        if not leads:
            return self._finish(self._followed(board, now), now)
        if states is not None:
            changes = self._stage("alert", lambda: self._alert(states, board, world, now))
            if changes is not None:
                board = replace(board, alerts=self._alerts or {})
                self._remember(change.finding() for change in changes)
        if world is not None and self._is_proposal_due(now, board):
            proposals = self._stage("proposal", lambda: self._propose(world, now))
            if proposals is not None:
                self._remember(_news(board.proposals, proposals))
                board = replace(board, proposals=proposals)
        if settings.rollout_automatic and any(proposal.status == "proposed" for proposal in board.proposals):
            steered = self._stage("submit", lambda: self._submit(board, world, now))
            if steered is not None:
                done = {proposal.id: proposal for proposal in steered.chosen}
                self._remember(steered.chosen)
                proposals_now = tuple(done.get(p.id, p) for p in board.proposals)
                board = replace(board, proposals=proposals_now, held=steered.held)
        else:
            board = replace(board, held={})
        self._stage("persist", lambda: self._write(snapshot_rows))
        return self._finish(board, now)

    def _leads(self) -> bool:
        lease = self.lease
        if lease is None:
            return True
        before = lease.leads
        # While the store is away everything stays as it is.
        leads = before if self._stage("lease", lease.renew) is None else lease.leads
        if leads != before:
            log.info("leads now" if leads else "another process leads now", holder=lease.holder)
        return leads

    def _followed(self, board: Board, now: datetime) -> Board:
        """Return the board of a process that only looks on: alerts as the one that leads wrote them down."""
        self._alerts = None
        alerts = self._stage("alert", lambda: restore_alerts(self._client, now))
        return replace(board, held={}, alerts=board.alerts if alerts is None else alerts)

    def _finish(self, board: Board, now: datetime) -> Board:
        self.board = replace(board, finished_at=now, stages_s=dict(self._stages), failed=tuple(self._failed))
        return self.board

    def _stage(self, name: str, run: Callable[[], T]) -> T | None:
        started = time.perf_counter()
        try:
            return run()
        except Exception as error:  # whatever one audit does, the others must run
            self.failures[name] = self.failures.get(name, 0) + 1
            self._failed.append(name)
            log.warning(
                "stage failed", stage=name, problem=str(error)[:500], exc_info=not isinstance(error, MeshwiseError)
            )
            return None
        finally:
            self._stages[name] = time.perf_counter() - started

    def _objectives(self, end: datetime, now: datetime) -> tuple[ObjectiveState, ...]:
        return self.slos.run(self.promises.refresh().objectives, end, now)

    def _alert(
        self, states: Sequence[ObjectiveState], board: Board, world: World | None, now: datetime
    ) -> tuple[Change, ...]:
        before = self._alerts if self._alerts is not None else restore_alerts(self._client, now)
        quiet = quiet_at(self.silences.refresh(), now)
        after, changes = step(before, evaluations_of(states), now, self._timing, quiet)
        contexts = {
            service: context_of(service, self._known_cause(service, world, board, anew=True), board.proposals)
            for service in {change.alert.service for change in changes if change.notify}
        }
        # Queued before the state moves on: a crash in between tells the same documents again, under the same ids.
        for webhook in self._settings.webhooks:
            documents = messages_for(webhook, changes, after, contexts, self.telling)
            self._outbox.put([webhook.lane], documents, now.timestamp())
        self._alerts = after
        for change in changes:
            log.info(
                "alert changed",
                service=change.alert.service,
                severity=change.alert.severity,
                state=change.alert.state,
                silence=change.alert.silence,
            )
        return changes

    def _known_cause(self, service: str, world: World | None, board: Board, *, anew: bool = False) -> Suspect | None:
        """Return the cause that was told last, or looks for it ``anew``; it is not looked for in every cycle."""
        if anew or service not in self._causes:
            self._causes[service] = self._cause(service, world, board)
            while len(self._causes) > MAX_CAUSES:
                del self._causes[next(iter(self._causes))]
        return self._causes[service]

    def _cause(self, service: str, world: World | None, board: Board) -> Suspect | None:
        """Return who is likely to blame for an alert of ``service``; an alert is told without it when that fails."""
        if world is None:
            return None
        try:
            found = self._audits.causes(self._client, world, service, board.anomalies)
        except Exception as error:  # noqa: BLE001  # what cannot be explained must still be told
            log.warning("no cause for an alert", service=service, problem=str(error)[:500])
            return None
        return found[0] if found else None

    def _is_proposal_due(self, now: datetime, board: Board) -> bool:
        last, settings = self._proposed_at, self._settings
        broken = any(alert.state == "firing" for alert in board.alerts.values()) or any(
            anomaly.flagged for anomaly in board.anomalies
        )
        every = min(settings.proposal_urgent_s, settings.proposal_every_s) if broken else settings.proposal_every_s
        # In the cycle nearest to it: waiting for the clock's last millisecond would often cost a whole cycle.
        return last is None or now - last > timedelta(seconds=every - settings.cycle_s / 2.0)

    def _propose(self, world: World, now: datetime) -> tuple[ProposalFinding, ...]:
        self._proposed_at = now
        try:
            self._policies = self._control.policies()
        except MeshwiseError as error:
            if self._policies is None:
                raise
            log.warning("proposing against the policies last seen", problem=str(error))
        window = settled(self._settings.proposal_window_s, now, self._settings.settle_s)
        found = self._audits.propose(self._client, window, world, self._policies)
        tried = self._tried_proposals()
        return tuple(replace(p, status="submitted") if p.status == "proposed" and p.id in tried else p for p in found)

    def _tried_proposals(self) -> set[object]:
        try:
            return {r.get("proposal_id") for r in self._control.rollouts() if r.get("state") != "rolled_back"}
        except MeshwiseError as error:
            log.warning("not known which proposals were submitted", problem=str(error))
            return set()

    def _submit(self, board: Board, world: World | None, now: datetime) -> Steered:
        settings = self._settings
        firing = {alert.service for alert in board.alerts.values() if alert.state == "firing"}
        steered = steer(
            board.proposals,
            self._control.rollouts(),
            now,
            cooldown_s=settings.rollout_cooldown_s,
            memory_s=settings.rollout_memory_s,
            incidents=[Incident(name, self._known_cause(name, world, board)) for name in sorted(firing)],
        )
        submitted: list[ProposalFinding] = []
        for proposal in steered.chosen:
            try:
                rollout = self._control.submit(
                    orjson.loads(proposal.policy),
                    reason=proposal.sentence,
                    evidence=orjson.loads(proposal.evidence),
                    proposal_id=proposal.id,
                    mode="approval" if proposal.destination in settings.rollout_approval else "automatic",
                )
            except RefusedError as error:
                log.warning("proposal refused by control", proposal=proposal.id, problem=str(error))
                continue
            log.info("proposal submitted", proposal=proposal.id, rollout=rollout.get("id"))
            submitted.append(replace(proposal, status="submitted", created_at=now))
        for proposal_id, why in steered.held.items():
            if board.held.get(proposal_id) != why:
                log.info("proposal waits", proposal=proposal_id, reason=why)
        return Steered(tuple(submitted), steered.held)

    def _remember(self, rows: Iterable[object]) -> None:
        self._unsaved.extend(rows)
        while len(self._unsaved) > MAX_UNSAVED_ROWS:
            self._unsaved.popleft()
            self.rows_dropped += 1

    def _write(self, snapshot_rows: Sequence[object]) -> None:
        # Events first: a snapshot is computed anew in a moment, an event happens once.
        for kind in _kinds(self._unsaved):
            rows = [row for row in self._unsaved if type(row) is kind]
            self._persist(self._client, rows)
            self.rows_written += len(rows)
            self._unsaved = deque(row for row in self._unsaved if type(row) is not kind)
        for kind in _kinds(snapshot_rows):
            rows = [row for row in snapshot_rows if type(row) is kind]
            self._persist(self._client, rows)
            self.rows_written += len(rows)


def restore_alerts(client: BulkClient, now: datetime) -> Alerts:
    """Return the alerts that were open when the room last ran, their breach taken as seen just now."""
    since = int(now.timestamp() - FORGET_ALERTS_S)
    result = client.query(load_sql("alerts_open"), parameters={"since": since})
    return {
        row.fingerprint: Alert(
            fingerprint=row.fingerprint,
            service=row.service,
            objective=row.objective,
            severity=row.severity,
            state="firing" if row.state == "firing" else "pending",
            started_at=row.started_at,
            breached_at=now,
            burn_long=row.burn_long,
            burn_short=row.burn_short,
            summary=row.summary,
            policy=row.policy,
            notified=row.notified,
            silence=row.silence,
        )
        for row in rows_from(AlertFinding, result.result_rows)
    }


def context_of(service: str, cause: Suspect | None, proposals: Iterable[ProposalFinding]) -> Context:
    """Return what to tell about ``service``: its likely cause, and the open proposal for that edge or that service."""
    waiting = [proposal for proposal in proposals if proposal.status in ("proposed", "submitted", "export_only")]
    for proposal in waiting:
        if cause is not None and (proposal.source, proposal.destination) == (cause.source, cause.destination):
            return Context(cause, proposal)
    return Context(cause, next((p for p in waiting if service in (p.destination, p.source)), None))


def _news(before: Iterable[ProposalFinding], after: Iterable[ProposalFinding]) -> list[ProposalFinding]:
    """Return the proposals that say something else than the last one about the same route did."""
    known = {(p.source, p.destination, p.route): (p.status, p.policy) for p in before}
    return [p for p in after if known.get((p.source, p.destination, p.route)) != (p.status, p.policy)]


def _kinds(rows: Iterable[object]) -> list[type]:
    return list(dict.fromkeys(type(row) for row in rows))
