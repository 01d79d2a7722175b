"""What every route needs from its request: the control plane, and who is asking."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.identity import REGISTRATION_HEADER, service_of
from meshwise.contracts.reading import Reader
from meshwise.control.api.problems import RefusedError
from meshwise.control.plane import ControlPlane
from meshwise.control.registrations import Speaker
from meshwise.store.serving import CERTIFICATE, names_service

_ACTOR = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,126}[\x21-\x7e])?", re.ASCII)


def _plane(request: Request) -> ControlPlane:
    plane: ControlPlane = request.app.state.plane
    return plane


def _actor(x_meshwise_actor: Annotated[str, Header()] = "operator") -> str:
    if not _ACTOR.fullmatch(x_meshwise_actor):
        raise RefusedError(400, "x-meshwise-actor", "must be 1 to 128 printable ASCII characters")
    return x_meshwise_actor


def _certified(request: Request, plane: Plane) -> str | None:
    """Return the service that the caller's certificate names; None for one that names none, and without one."""
    if not names_service(request.scope):
        return None
    names = request.scope[CERTIFICATE]["subjectAltName"]
    uris = [value for kind, value in names if kind == "URI"]
    return (service_of(uris[0], plane.authority.trust_domain) if len(uris) == 1 else None) or "of another mesh"


def _caller(
    proxy_id: str,
    certified: Annotated[str | None, Depends(_certified)],
    secret: Annotated[str, Header(alias=REGISTRATION_HEADER)] = "",
) -> Speaker:
    return Speaker(proxy_id, secret, certified)


Plane = Annotated[ControlPlane, Depends(_plane)]
Actor = Annotated[str, Depends(_actor)]
Certified = Annotated[str | None, Depends(_certified)]
Caller = Annotated[Speaker, Depends(_caller)]
"""Who speaks for the proxy that the path names."""


def take_reason(reader: Reader) -> str:
    """Take the field ``reason``: any text of up to 2000 characters, also an empty one."""
    reason = reader.take("reason")
    if reason is None:
        return ""
    if not isinstance(reason, str) or len(reason) > 2000:
        raise DocumentError(reader.at("reason"), "must be text of up to 2000 characters")
    return reason


def take_mapping(reader: Reader, key: str) -> dict[str, object] | None:
    """Take a field that is any JSON object, or absent."""
    value = reader.take(key)
    if value is None or isinstance(value, dict):
        return value
    raise DocumentError(reader.at(key), "must be a mapping")
