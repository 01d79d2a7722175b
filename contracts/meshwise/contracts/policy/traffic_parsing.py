"""The sections of a policy that direct traffic: from a document, and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshwise.contracts.duration import format_duration
from meshwise.contracts.errors import DocumentError
from meshwise.contracts.policy.labels import take_labels
from meshwise.contracts.policy.traffic import (
    REDIRECT_STATUSES,
    UNTOUCHABLE,
    Edits,
    Fault,
    Headers,
    Mirror,
    Redirect,
    Rewrite,
    Target,
)
from meshwise.contracts.reading import Reader, shown

if TYPE_CHECKING:
    from meshwise.contracts.policy.model import Policy

MAX_TARGETS: Final = 16
MAX_DELAY_S: Final = 300.0

_SERVICE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?", re.ASCII)
_AUTHORITY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})(?::[0-9]{1,5})?", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()+,;=:@%/-]{0,500}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE = re.compile(r"(?:[!-~](?:[ -~]{0,998}[!-~])?)?", re.ASCII)


def take_fault(document: Reader) -> Fault | None:
    """Return the ``fault`` section."""
    reader = _optional(document, "fault")
    if reader is None:
        return None
    delay, abort = reader.take_section("delay"), reader.take_section("abort")
    waits = delay.take_seconds("fixed", 0.0, 0.001, MAX_DELAY_S) or 0.0
    status = abort.take_count("status", 0, 400, 599)
    fault = Fault(
        waits,
        delay.take_number("percent", 100.0, 0.0, 100.0) if waits else 0.0,
        status,
        abort.take_number("percent", 100.0, 0.0, 100.0) if status else 0.0,
    )
    for section in (delay, abort, reader):
        section.finish()
    if not waits and not status:
        raise DocumentError(reader.path, "injects nothing; name delay.fixed or abort.status, or remove it")
    return fault


def take_split(document: Reader) -> tuple[Target, ...]:
    """Return the ways of the ``split`` section; none when absent."""
    targets = []
    items = document.take_list("split") or ()
    if len(items) > MAX_TARGETS:
        raise DocumentError(document.at("split"), f"has more than {MAX_TARGETS} ways")
    for position, item in enumerate(items):
        reader = Reader(item, f"{document.at('split')}[{position}]")
        weight = reader.take_count("weight", -1, 0, 10_000)
        if weight < 0:
            raise DocumentError(reader.at("weight"), "is required")
        service = _take(reader, "service", _SERVICE, "the name of a service")
        targets.append(Target(weight, service, take_labels(reader, "subset")))
        reader.finish()
    if targets and not sum(target.weight for target in targets):
        raise DocumentError(document.at("split"), "sends nobody anywhere; give one of its ways a weight")
    return tuple(targets)


def take_mirror(document: Reader) -> Mirror | None:
    """Return the ``mirror`` section."""
    reader = _optional(document, "mirror")
    if reader is None:
        return None
    service = _take(reader, "service", _SERVICE, "the name of a service")
    if service is None:
        raise DocumentError(reader.at("service"), "is required")
    mirror = Mirror(service, reader.take_number("percent", 100.0, 0.0, 100.0))
    reader.finish()
    return mirror


def take_headers(document: Reader) -> Headers | None:
    """Return the ``headers`` section; ``None`` also when it changes nothing."""
    reader = document.take_section("headers")
    headers = Headers(_edits(reader.take_section("request")), _edits(reader.take_section("response")))
    reader.finish()
    return None if headers == Headers() else headers


def take_rewrite(document: Reader, route: str | None) -> Rewrite | None:
    """Return the ``rewrite`` section of a policy that matches ``route``."""
    reader = _optional(document, "rewrite")
    if reader is None:
        return None
    rewrite = Rewrite(*_where(reader, route))
    reader.finish()
    return rewrite


def take_redirect(document: Reader, route: str | None) -> Redirect | None:
    """Return the ``redirect`` section of a policy that matches ``route``."""
    reader = _optional(document, "redirect")
    if reader is None:
        return None
    status = reader.take_count("status", 302, 301, 308)
    if status not in REDIRECT_STATUSES:
        raise DocumentError(reader.at("status"), f"{status} is not one of {', '.join(map(str, REDIRECT_STATUSES))}")
    redirect = Redirect(status, *_where(reader, route))
    reader.finish()
    return redirect


def take_fields(reader: Reader, key: str) -> tuple[tuple[str, str], ...]:
    """Return the fields under ``key`` by their lower-case names, in order; none when absent."""
    fields = reader.take_section(key)
    found: dict[str, str] = {}
    for name in sorted(fields.names):
        value = fields.take(name)
        if not _FIELD.fullmatch(name) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise DocumentError(
                fields.at(name[:80]), "a field has a name, and a value of up to 1000 printable characters"
            )
        if name.lower() in found:
            raise DocumentError(fields.at(name), "is named twice, in different cases")
        found[name.lower()] = value
    return tuple(sorted(found.items()))


def traffic_document(policy: Policy) -> dict[str, Any]:
    """Return the documents of these sections of ``policy``, those that there are."""
    fault, mirror, headers, redirect = policy.fault, policy.mirror, policy.headers, policy.redirect
    document: dict[str, Any] = {}
    if fault is not None:
        document["fault"] = {}
        if fault.delay:
            document["fault"]["delay"] = {"fixed": format_duration(fault.delay), "percent": fault.delay_percent}
        if fault.abort:
            document["fault"]["abort"] = {"status": fault.abort, "percent": fault.abort_percent}
    if policy.split:
        document["split"] = [_target(target) for target in policy.split]
    if mirror is not None:
        document["mirror"] = {"service": mirror.service, "percent": mirror.percent}
    if headers is not None:
        document["headers"] = {
            "request": _edits_document(headers.request),
            "response": _edits_document(headers.response),
        }
    for name, section in (("rewrite", policy.rewrite), ("redirect", redirect)):
        if section is not None:
            said = {"path": section.path, "prefix": section.prefix, "authority": section.authority}
            document[name] = {key: value for key, value in said.items() if value is not None}
    if redirect is not None:
        document["redirect"]["status"] = redirect.status
    return document


def _target(target: Target) -> dict[str, Any]:
    document: dict[str, Any] = {"weight": target.weight}
    if target.service is not None:
        document["service"] = target.service
    if target.subset:
        document["subset"] = dict(target.subset)
    return document


def _edits(reader: Reader) -> Edits:
    removed = []
    for position, name in enumerate(reader.take_list("remove") or ()):
        if not isinstance(name, str) or not _FIELD.fullmatch(name):
            raise DocumentError(f"{reader.at('remove')}[{position}]", f"{shown(name)} is not the name of a field")
        removed.append(name.lower())
    edits = Edits(tuple(sorted(set(removed))), take_fields(reader, "set"), take_fields(reader, "add"))
    reader.finish()
    for name in (*edits.remove, *(name for name, _ in edits.set + edits.add)):
        if name in UNTOUCHABLE or name.startswith("x-meshwise-"):
            raise DocumentError(reader.path, f"{name} may not be edited: it frames, routes or traces the message")
    return edits


def _edits_document(edits: Edits) -> dict[str, Any]:
    document = {"remove": list(edits.remove), "set": dict(edits.set), "add": dict(edits.add)}
    return {key: value for key, value in document.items() if value}


def _where(reader: Reader, route: str | None) -> tuple[str | None, str | None, str | None]:
    path = _take(reader, "path", _PATH, "a path such as /items")
    prefix = _take(reader, "prefix", _PATH, "a path such as /items")
    authority = _take(reader, "authority", _AUTHORITY, "a host with or without a port")
    if path is None and prefix is None and authority is None:
        raise DocumentError(reader.path, "changes nothing; name path, prefix or authority, or remove it")
    if path is not None and prefix is not None:
        raise DocumentError(reader.at("prefix"), "cannot stand beside path; remove one of them")
    if prefix is not None and (route is None or not route.endswith("/*") or "{" in route):
        raise DocumentError(reader.at("prefix"), "needs a match.route that ends in /* and has no {name}")
    return path, prefix, authority


def _take(reader: Reader, key: str, form: re.Pattern[str], wanted: str) -> str | None:
    if not reader.has(key):
        reader.take(key)
        return None
    said = reader.take_text(key, longest=512)
    if not form.fullmatch(said):
        raise DocumentError(reader.at(key), f"{shown(said)} is not {wanted}")
    return said


def _optional(document: Reader, key: str) -> Reader | None:
    if document.has(key):
        return document.take_section(key)
    document.take(key)
    return None
