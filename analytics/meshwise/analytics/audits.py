"""The audits that learn: anomalies, proposals and the canary's judge, as the cycle calls them.

They are passed in as one object, so that a cycle can be tried without them; importing this module loads none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from meshwise.analytics.load import BulkClient, Client
from meshwise.analytics.settings import AnalyticsSettings
from meshwise.analytics.world import Window, World
from meshwise.contracts.policy import Policy
from meshwise.contracts.rows import AnomalyFinding, ProposalFinding
from meshwise.contracts.slo import Objective

if TYPE_CHECKING:
    from meshwise.analytics.cause.suspects import Suspect


class Judgement(Protocol):
    """What the judge says about one stage; ``evidence`` can be written as JSON."""

    @property
    def decision(self) -> str:
        """``advance``, ``rollback`` or ``hold``."""

    @property
    def reason(self) -> str:
        """One sentence for a person."""

    @property
    def evidence(self) -> Any:
        """What was measured."""


@dataclass(frozen=True, slots=True)
class Audits:
    """The audits of one mesh, their settings bound."""

    detect: Callable[[BulkClient, World], Sequence[AnomalyFinding]]
    propose: Callable[[Client, Window, World, Sequence[Policy]], Sequence[ProposalFinding]]
    causes: Callable[[BulkClient, World, str, Sequence[AnomalyFinding]], Sequence[Suspect]]
    judge: Callable[[dict[str, Any], Client, datetime], Judgement]
    """Judges the shadow of a rollout that has one, else its canaries."""


def audits_for(
    settings: AnalyticsSettings, documents: Callable[[], Mapping[str, Sequence[Objective]]] = dict
) -> Audits:
    """Return the audits as ``settings`` tune them; ``documents`` says what each SLO document in force promises."""
    from meshwise.analytics.anomaly import AnomalyAudit
    from meshwise.analytics.cause.explain import explain
    from meshwise.analytics.proposal import load_attempts, propose
    from meshwise.analytics.proposal.again import Source, noted
    from meshwise.analytics.proposal.ends import load_ends
    from meshwise.analytics.proposal.trial_run import Memory
    from meshwise.analytics.rollout import judge_from_store, judge_shadow_from_store
    from meshwise.analytics.rollout.threshold import promised
    from meshwise.analytics.span_attempts import for_export, load_span_attempts
    from meshwise.analytics.witnesses import named, trusted

    rehearsed: Memory = {}

    def proposals(
        client: Client, window: Window, world: World, policies: Sequence[Policy]
    ) -> Sequence[ProposalFinding]:
        loaded = load_attempts(client, window)
        attempts, left_out = trusted(loaded)
        source = Source(window, len(loaded), world, policies, settings.proposal, settings.rehearsal)
        counted = propose(
            attempts,
            world,
            policies,
            settings.proposal,
            rehearsal=settings.rehearsal,
            rehearsed=rehearsed,
            ends=load_ends(client, window),
        )
        counted = noted(named(counted, left_out), source)
        told = load_span_attempts(client, window)
        if not len(told.attempts):
            return counted
        rehearse = settings.rehearsal
        found = propose(told.attempts, world, policies, settings.proposal, rehearsal=rehearse, rehearsed=rehearsed)
        return [*counted, *for_export(found, told.by_envoys)]

    def judge(document: dict[str, Any], client: Client, now: datetime) -> Judgement:
        if document.get("shadows"):
            return judge_shadow_from_store(document, client, now, settings.rollout)
        promised_s = promised(document, documents(), settings.objectives)
        return judge_from_store(document, client, now, settings.rollout, promised_s=promised_s)

    return Audits(
        detect=AnomalyAudit(settings.anomaly).run,
        propose=proposals,
        causes=lambda client, world, service, anomalies: explain(client, world, service, anomalies, settings.cause),
        judge=judge,
    )
