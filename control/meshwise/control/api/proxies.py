"""Routes of the proxies: register, heartbeat, snapshot, events, acknowledge, leave."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from meshwise.control import registrations
from meshwise.control.api.answers import proxy_answer
from meshwise.control.api.bodies import Body
from meshwise.control.api.context import Caller, Certified, Plane
from meshwise.control.api.stream import EventStream
from meshwise.control.errors import NotFoundError

router = APIRouter(prefix="/v1/proxies")


@router.get("")
def list_proxies(plane: Plane) -> dict[str, Any]:
    """Return every registered proxy."""
    with plane.storage.read() as tx:
        return {"proxies": [proxy_answer(proxy, plane.presence) for proxy in tx.proxies()]}


@router.post("")
def register(plane: Plane, body: Body, certified: Certified) -> dict[str, Any]:
    """Register a proxy, in place of the one of the same id; whoever has the secret of the answer speaks for it."""
    proxy = registrations.read_registration(body, plane.clock())
    registrations.check_certificate(proxy.service, certified)
    with plane.storage.write() as tx:
        secret = registrations.register(tx, proxy, plane.settings.max_proxies)
    return {"heartbeat_s": plane.settings.heartbeat_s, "ttl_s": plane.settings.ttl_s, "secret": secret}


@router.post("/{proxy_id}/heartbeat")
def heartbeat(plane: Plane, speaker: Caller, body: Body) -> dict[str, Any]:
    """Hear that a proxy lives and what it runs on."""
    beat, now = registrations.read_heartbeat(body), plane.clock()
    with plane.storage.read() as tx:
        news = registrations.hear(tx, plane.presence, speaker, beat, now)
    if news:
        with plane.storage.write() as tx:
            registrations.take_in(tx, speaker.proxy_id, beat, now)
    return {}


@router.post("/{proxy_id}/acks")
def acknowledge(plane: Plane, speaker: Caller, body: Body) -> dict[str, Any]:
    """Hear whether a proxy applied a snapshot."""
    said = registrations.read_answer(body)
    with plane.storage.write() as tx:
        registrations.answer(tx, speaker, said, plane.clock())
    return {}


@router.delete("/{proxy_id}", status_code=204)
async def leave(plane: Plane, speaker: Caller) -> None:
    """Let a proxy go that drains."""

    def work() -> None:
        with plane.storage.write() as tx:
            registrations.leave(tx, speaker, plane.clock())

    await asyncio.to_thread(work)
    plane.hub.drop(speaker.proxy_id)


@router.get("/{proxy_id}/snapshot")
def snapshot(plane: Plane, proxy_id: str, request: Request) -> Response:
    """Return what the proxy is told, or 304 when it knows."""
    encoded = plane.snapshot(proxy_id)
    headers = {"etag": encoded.etag, "cache-control": "no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if encoded.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(encoded.body, media_type="application/json", headers=headers)


@router.get("/{proxy_id}/events")
async def events(plane: Plane, proxy_id: str) -> Response:
    """Stream the numbers of new snapshots for as long as the proxy listens."""

    def known() -> bool:
        with plane.storage.read() as tx:
            return tx.proxy(proxy_id) is not None

    if not await asyncio.to_thread(known):
        raise NotFoundError("id", f"no proxy {proxy_id[:128]!r} is registered; register it")
    mailbox = plane.hub.subscribe(proxy_id)
    settings = plane.settings
    return EventStream(
        mailbox,
        keepalive_s=settings.keepalive_s,
        stall_s=settings.stall_s,
        on_end=lambda: plane.hub.unsubscribe(proxy_id, mailbox),
    )
