"""Judging the rollouts under way, beside the cycle: a canary that harms must not wait while proposals are computed.

A look is one pass over them: each gets a verdict, which is told to control and written down. Verdicts are events: they
wait, bounded, while the store is away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
import structlog

from meshwise.analytics.audits import Audits
from meshwise.analytics.control_api import ControlApi
from meshwise.analytics.load import BulkClient
from meshwise.analytics.steering import ACTIVE, moment
from meshwise.contracts.errors import MeshwiseError
from meshwise.contracts.rows import RolloutFinding

log = structlog.get_logger(__name__)

MAX_UNSAVED: Final = 1_000
"""Verdicts that wait for the store to come back; beyond that the oldest are dropped and counted."""
MAX_KNOWN: Final = 200
"""Rollouts whose latest verdict is remembered."""


class Judge:
    """Looks at rollouts with a client of the store of its own; one look at a time.

    ``verdicts`` holds the latest one per rollout. ``leads`` tells whether this process is the one that decides.
    """

    def __init__(
        self,
        *,
        client: BulkClient,
        control: ControlApi,
        audits: Audits,
        persist: Callable[[Any, list[Any]], object],
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._client = client
        self._control = control
        self._audits = audits
        self._persist = persist
        self._leads = leads
        self._unsaved: deque[RolloutFinding] = deque()
        self.verdicts: Mapping[str, RolloutFinding] = {}
        self.looks = 0
        self.failures = 0
        self.rows_written = 0
        self.rows_dropped = 0

    def look(self, now: datetime) -> None:
        """Judge every rollout that has something to be judged by; never raises."""
        if not self._leads():
            return
        self.looks += 1
        try:
            for rollout in self._control.rollouts(*ACTIVE):
                self._judge(rollout, now)
        except Exception as error:  # noqa: BLE001 - whatever one look does, the next must come
            self._failed(error)
        try:
            self._save()
        except Exception as error:  # noqa: BLE001 - the store is away: they wait
            self._failed(error)

    def _judge(self, rollout: dict[str, Any], now: datetime) -> None:
        shadow = rollout.get("shadows") is True
        if not shadow and (rollout.get("state") != "canary" or moment(rollout.get("stage_started_at")) is None):
            return
        verdict = self._audits.judge(rollout, self._client, now)
        finding = RolloutFinding(
            at=now,
            rollout_id=str(rollout["id"]),
            policy_name=str(rollout.get("policy_name", "")),
            stage=int(rollout["stage"]),
            decision=verdict.decision,
            reason=verdict.reason,
            evidence=orjson.dumps(verdict.evidence, option=orjson.OPT_SERIALIZE_NUMPY).decode(),
        )
        if _is_no_news(self.verdicts.get(finding.rollout_id), finding):
            return
        self.verdicts = dict(list({**self.verdicts, finding.rollout_id: finding}.items())[-MAX_KNOWN:])
        self._unsaved.append(finding)
        while len(self._unsaved) > MAX_UNSAVED:
            self._unsaved.popleft()
            self.rows_dropped += 1
        try:
            self._control.tell_verdict(
                finding.rollout_id,
                stage=finding.stage,
                decision=finding.decision,
                reason=finding.reason,
                evidence=orjson.loads(finding.evidence),
                shadow=shadow,
            )
        except MeshwiseError as error:
            log.warning("verdict not taken", rollout=finding.rollout_id, problem=str(error))

    def _save(self) -> None:
        if self._unsaved:
            rows = list(self._unsaved)
            self._persist(self._client, rows)
            self.rows_written += len(rows)
            self._unsaved.clear()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        log.warning("rollouts not judged", problem=str(error)[:500], exc_info=not isinstance(error, MeshwiseError))


def _is_no_news(before: RolloutFinding | None, verdict: RolloutFinding) -> bool:
    """Tell whether a rollout is held for the very reason it was held for before: nothing has come in since."""
    if before is None or verdict.decision != "hold":
        return False
    return (before.decision, before.stage, before.reason) == (verdict.decision, verdict.stage, verdict.reason)
