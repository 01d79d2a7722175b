"""Carries queued documents to their receivers: one task per receiver, so that a slow one holds up no other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import structlog

from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.sender import deliver
from meshwise.analytics.alerts.signature import signature_headers
from meshwise.analytics.settings import WebhookSettings

log = structlog.get_logger(__name__)


class Courier:
    """Delivers from ``outbox`` to ``webhooks`` while ``run`` is awaited; a receiver that answers 410 is left alone."""

    def __init__(self, outbox: Outbox, webhooks: Sequence[WebhookSettings], poll_s: float = 1.0) -> None:
        self._outbox = outbox
        self._webhooks = tuple(webhooks)
        self._poll_s = poll_s
        self._random = random.Random()  # noqa: S311  # spreads retries, guards nothing
        self.tries = {"delivered": 0, "failed": 0, "gone": 0}

    @property
    def targets(self) -> tuple[str, ...]:
        """The receivers' names in the queue: their addresses."""
        return tuple(webhook.url for webhook in self._webhooks)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for webhook in self._webhooks:
                tasks.create_task(self._serve(webhook))

    async def _serve(self, webhook: WebhookSettings) -> None:
        while True:
            outcome = await self._deliver_next(webhook)
            if outcome == "gone":
                log.warning("webhook disabled: its receiver answered 410", target=webhook.host)
                return
            if outcome != "delivered":
                await asyncio.sleep(self._poll_s)

    async def _deliver_next(self, webhook: WebhookSettings) -> str:
        waiting = await asyncio.to_thread(self._outbox.due, webhook.url, time.time())
        if waiting is None:
            return "idle"
        secrets = [secret.get_secret_value() for secret in webhook.secrets]
        headers = signature_headers(waiting.id, waiting.body, secrets, int(time.time()))
        delivery = await deliver(webhook.url, waiting.body, headers, allow_private=webhook.allow_private)
        self.tries[delivery.outcome] += 1
        state = await asyncio.to_thread(self._outbox.settle, waiting, delivery, time.time(), self._random.random())
        log.info("webhook tried", target=webhook.host, id=waiting.id, state=state, detail=delivery.detail)
        return delivery.outcome
