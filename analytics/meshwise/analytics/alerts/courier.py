"""Carries queued documents to their receivers: one task per receiver, so that a slow one holds up no other."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Sequence

import structlog

from meshwise.analytics.alerts.messages import Notification, content_type_of
from meshwise.analytics.alerts.outbox import Outbox
from meshwise.analytics.alerts.sender import Delivery, deliver
from meshwise.analytics.alerts.signature import signature_headers
from meshwise.analytics.settings import WebhookSettings

log = structlog.get_logger(__name__)


class Courier:
    """Delivers from ``outbox`` to ``webhooks`` while ``run`` is awaited.

    A receiver that answers 410 is left alone, also after a restart, until a document sent by ``try_now`` arrives.
    """

    def __init__(self, outbox: Outbox, webhooks: Sequence[WebhookSettings], poll_s: float = 1.0) -> None:
        self.outbox = outbox
        self.webhooks = tuple(webhooks)
        self._poll_s = poll_s
        self._random = random.Random()  # noqa: S311  # spreads retries, guards nothing
        self.tries = {"delivered": 0, "failed": 0, "gone": 0}

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for webhook in self.webhooks:
                tasks.create_task(self._serve(webhook))

    async def try_now(self, webhook: WebhookSettings, documents: Iterable[Notification]) -> Delivery:
        """Send documents past the queue, once; when they arrive, a receiver that was left alone is served again."""
        delivery = Delivery("failed", "there is nothing to send")
        for document in documents:
            delivery = await self._send(webhook, document.id, document.body)
            if delivery.outcome != "delivered":
                return delivery
        if delivery.outcome == "delivered":
            await asyncio.to_thread(self.outbox.enable, webhook.lane)
        return delivery

    async def _serve(self, webhook: WebhookSettings) -> None:
        while True:
            outcome = await self._deliver_next(webhook)
            if outcome != "delivered":
                await asyncio.sleep(self._poll_s)

    async def _deliver_next(self, webhook: WebhookSettings) -> str:
        if await asyncio.to_thread(self.outbox.disabled_since, webhook.lane) is not None:
            return "disabled"
        waiting = await asyncio.to_thread(self.outbox.due, webhook.lane, time.time())
        if waiting is None:
            return "idle"
        delivery = await self._send(webhook, waiting.id, waiting.body)
        state = await asyncio.to_thread(self.outbox.settle, waiting, delivery, time.time(), self._random.random())
        log.info("webhook tried", target=webhook.host, id=waiting.id, state=state, detail=delivery.detail)
        if delivery.outcome == "gone":
            await asyncio.to_thread(self.outbox.disable, webhook.lane, time.time())
            log.warning("webhook disabled: its receiver answered 410", target=webhook.host, name=webhook.name)
        return delivery.outcome

    async def _send(self, webhook: WebhookSettings, name: str, body: bytes) -> Delivery:
        secrets = [secret.get_secret_value() for secret in webhook.secrets]
        headers = signature_headers(name, body, secrets, int(time.time()))
        headers["content-type"] = content_type_of(webhook)
        delivery = await deliver(webhook.url, body, headers, allow_private=webhook.allow_private)
        self.tries[delivery.outcome] += 1
        return delivery
