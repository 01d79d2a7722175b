"""The part of the HTTP interface that is about alerts.

GET    /v1/alerts          those that are open, with what keeps them quiet
GET    /v1/silences        silences and maintenance windows that were not ended
POST   /v1/silences        {"matchers": {"service": "cart"}, "ends_at": …, and perhaps "starts_at", "every", "zone",
                           "reason"}: begins one
DELETE /v1/silences/{id}   ends one
GET    /v1/receivers       who is told, and how that goes
POST   /v1/alerts/test     {"receiver": "default"}: sends a made-up alert, and its end, to one receiver or all

Changes are for this machine, or with the token.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response

from meshwise.analytics.alerts.courier import Courier
from meshwise.analytics.alerts.lifecycle import Alert, Change
from meshwise.analytics.alerts.messages import messages_for
from meshwise.analytics.alerts.silences import read_silence
from meshwise.analytics.answers import as_json, refusal
from meshwise.analytics.bodies import actor_of, is_local, read_object
from meshwise.analytics.jobs import Cycle
from meshwise.analytics.settings import AnalyticsSettings, WebhookSettings
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.rows import Silence
from meshwise.contracts.silences import is_active, is_over

TEST_OBJECTIVE = "meshwise-test"


def add_alert_routes(app: FastAPI, settings: AnalyticsSettings, cycle: Cycle, courier: Courier) -> None:
    """Answer questions about alerts, take silences, and try receivers."""
    silences = cycle.silences

    def is_refused(request: Request) -> Response | None:
        if settings.token is None and not is_local(request):
            return refusal(403, "", "only this machine may do that")
        return None

    @app.get("/v1/alerts")
    async def read_alerts() -> Response:
        board = cycle.board
        return as_json({"computed_at": board.finished_at, "alerts": list(board.alerts.values())})

    @app.get("/v1/silences")
    async def read_silences() -> Response:
        rows = await asyncio.to_thread(silences.refresh)
        now = datetime.now(UTC)
        return as_json({"silences": [_shown(one, now) for one in rows if not is_over(one, now)]})

    @app.post("/v1/silences")
    async def begin_silence(request: Request) -> Response:
        if (refused := is_refused(request)) is not None:
            return refused
        body = await read_object(request, "matchers", "starts_at", "ends_at", "every", "zone", "reason")
        now = datetime.now(UTC)
        try:
            silence = read_silence(body, actor_of(request), now)
            await asyncio.to_thread(silences.add, silence)
        except DocumentError as error:
            return refusal(400, error.path, error.problem)
        return as_json({"silence": _shown(silence, now)}, 201)

    @app.delete("/v1/silences/{name}")
    async def end_silence(request: Request, name: str) -> Response:
        if (refused := is_refused(request)) is not None:
            return refused
        ended = await asyncio.to_thread(silences.end, name, actor_of(request), datetime.now(UTC))
        return as_json({"ended": name}) if ended else refusal(404, name[:80], "is no silence; see meshwise alerts list")

    @app.get("/v1/receivers")
    async def read_receivers() -> Response:
        return as_json({"receivers": [await asyncio.to_thread(_receiver, one, courier) for one in courier.webhooks]})

    @app.post("/v1/alerts/test")
    async def try_receivers(request: Request) -> Response:
        if (refused := is_refused(request)) is not None:
            return refused
        name = (await read_object(request, "receiver")).get("receiver", "")
        chosen = [one for one in courier.webhooks if name in ("", one.name)]
        if not chosen:
            known = ", ".join(sorted({one.name for one in courier.webhooks})) or "none; set analytics.webhooks"
            return refusal(404, "receiver", f"{str(name)[:80]!r} is not a receiver; there are: {known}")
        results = await asyncio.gather(*(_try(one, cycle, courier) for one in chosen))
        return as_json({"results": results})


async def _try(webhook: WebhookSettings, cycle: Cycle, courier: Courier) -> dict[str, Any]:
    alert = made_up_alert(datetime.now(UTC))
    over = replace(alert, state="resolved", ended_at=alert.started_at)
    documents = [
        document
        for one in (alert, over)
        for document in messages_for(webhook, [Change(one.started_at, one, notify=True)], {}, {}, cycle.telling)
    ]
    delivery = await courier.try_now(webhook, documents)
    return {
        "receiver": webhook.name,
        "format": webhook.format,
        "host": webhook.host,
        "outcome": delivery.outcome,
        "detail": delivery.detail,
    }


def made_up_alert(now: datetime) -> Alert:
    """Return an alert that says of itself that it is a test."""
    return Alert(
        fingerprint=f"test-{now.timestamp():.0f}",
        service="meshwise",
        objective=TEST_OBJECTIVE,
        severity="ticket",
        state="firing",
        started_at=now,
        breached_at=now,
        burn_long=0.0,
        burn_short=0.0,
        summary="This is a test of meshwise: alerts arrive here, and nothing is wrong.",
        notified=True,
    )


def _receiver(webhook: WebhookSettings, courier: Courier) -> dict[str, Any]:
    since = courier.outbox.disabled_since(webhook.lane)
    return {
        "name": webhook.name,
        "format": webhook.format,
        "host": webhook.host,
        "signed": bool(webhook.secrets),
        "documents": courier.outbox.counts(webhook.lane),
        "disabled_since": None if since is None else datetime.fromtimestamp(since, UTC),
    }


def _shown(silence: Silence, now: datetime) -> dict[str, Any]:
    return asdict(silence) | {"active": is_active(silence, now)}
