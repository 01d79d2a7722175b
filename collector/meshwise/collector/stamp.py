"""Hold a request to what its sender may say, before it is spooled.

The store decodes what lies in the spool, and two decoders may read odd bytes differently: a field given twice, a key
given twice. So every resource is decoded here, once, and written anew: the store never sees the sender's own bytes of
it. Spans, points and records below stay as they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from meshwise.collector import items, wire
from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.signals import DOORS, Signal
from meshwise.collector.tenancy import Sender
from meshwise.collector.validate import FIELDS_PER_ITEM, Limits, Verdict, validate
from meshwise.contracts.telemetry import DESTINATION, SCOPE, SERVICE_NAME, SIDE, SIDE_CLIENT, SIDE_SERVER, SOURCE

_GROUPS, _RESOURCE, _SCOPES, _SCHEMA_URL = 1, 1, 2, 3
"""Field numbers, the same for every signal: groups in a request; resource, scopes and schema in a group."""
_SCOPE, _SCOPE_NAME = 1, 1
_PROXY_SCOPE = SCOPE.encode()
_ENDS = frozenset({SIDE, SOURCE, DESTINATION})
_SIDES = {int(Span.SPAN_KIND_CLIENT): SIDE_CLIENT, int(Span.SPAN_KIND_SERVER): SIDE_SERVER}


class _NotYoursError(Exception):
    """A group says what its sender may not."""


def stamp(signal: Signal, verdict: Verdict, sender: Sender, limits: Limits) -> Verdict:
    """Return ``verdict`` with every resource stamped, and without the groups that speak for others; pure.

    Raises:
        RefusedError: the bytes cannot be walked.
    """
    if not sender.is_bound or not verdict.accepted:
        return verdict
    body = verdict.body
    allowance = wire.Allowance(limits.items * FIELDS_PER_ITEM + 1024)
    # A walk through scopes costs; without these bytes anywhere no scope can have the name.
    claims_proxy = _PROXY_SCOPE in body
    parts: list[bytes] = []
    problems: Counter[str] = Counter()
    try:
        for number, kind, field_at, value_at, value_end in wire.scan(body, 0, len(body), allowance):
            if number != _GROUPS or kind != wire.LENGTH:
                continue
            try:
                parts.append(_group(signal, body[value_at:value_end], sender, allowance, claims_proxy=claims_proxy))
            except _NotYoursError as problem:
                count = validate(signal, body[field_at:value_end], limits).accepted
                if count:
                    problems[str(problem)] += count
    except wire.WireError as error:
        raise RefusedError(Reason.MALFORMED, f"the body is not protobuf: {error}") from None
    except wire.TooManyFieldsError:
        raise RefusedError(Reason.TOO_MANY_ITEMS, "the request holds too many groups; send smaller batches") from None
    rejected = problems.total()
    message = "; ".join(f"{count} {DOORS[signal].items} rejected: {problem}" for problem, count in problems.items())
    return replace(
        verdict,
        body=b"".join(parts),
        accepted=verdict.accepted - rejected,
        rejected=verdict.rejected + rejected,
        message="; ".join(filter(None, (verdict.message, message))),
    )


def _group(signal: Signal, group: bytes, sender: Sender, allowance: wire.Allowance, *, claims_proxy: bool) -> bytes:
    """Return one group (a ResourceSpans, ResourceMetrics or ResourceLogs) written anew around its scopes."""
    resource: list[bytes] = []
    rest: list[bytes] = []
    for number, kind, field_at, value_at, value_end in wire.scan(group, 0, len(group), allowance):
        if kind != wire.LENGTH:
            continue
        if number == _RESOURCE:
            resource.append(group[value_at:value_end])
        elif number == _SCOPES:
            if claims_proxy and _is_proxy(group, value_at, value_end, allowance):
                _check_proxy(signal, group[value_at:value_end], sender)
            rest.append(group[field_at:value_end])
        elif number == _SCHEMA_URL:
            rest.append(group[field_at:value_end])
    # Parts of a message one after the other are the whole message.
    stamped = _resource(b"".join(resource), sender)
    inner = b"".join((wire.length_field(_RESOURCE, stamped), *rest))
    return wire.length_field(_GROUPS, inner)


def _resource(encoded: bytes, sender: Sender) -> bytes:
    claimed = Resource.FromString(encoded)
    stamped = dict(sender.attributes)
    written = Resource(dropped_attributes_count=claimed.dropped_attributes_count)
    seen = set(stamped)
    for attribute in claimed.attributes:
        if attribute.key not in seen:
            seen.add(attribute.key)
            written.attributes.append(attribute)
    service = stamped.get(SERVICE_NAME) or next(
        (one.value.string_value for one in written.attributes if one.key == SERVICE_NAME), ""
    )
    if not service and len(sender.services) == 1:
        (service,) = sender.services
        stamped[SERVICE_NAME] = service
        for place in [at for at, one in enumerate(written.attributes) if one.key == SERVICE_NAME]:
            del written.attributes[place]
    if sender.services and service not in sender.services:
        raise _NotYoursError(f"{SERVICE_NAME} {service[:80]!r} is not one this sender may speak for")
    for key, value in stamped.items():
        written.attributes.add(key=key).value.string_value = value
    return written.SerializeToString()


def _check_proxy(signal: Signal, scope: bytes, sender: Sender) -> None:
    """Check that a proxy's scope tells of calls that the proxy of one of the sender's services can have seen."""
    if not sender.proxies:
        raise _NotYoursError("this sender may not report as a proxy")
    if not sender.services:
        return
    for item in _reports(signal, scope):
        told = {one.key: one.value.string_value for one in item.attributes if one.key in _ENDS}
        side = told.get(SIDE) or _SIDES.get(getattr(item, "kind", 0))
        own = told.get(SOURCE if side == SIDE_CLIENT else DESTINATION)
        if own is not None and own not in sender.services:
            raise _NotYoursError(f"calls of {own[:80]!r} are not this sender's to report")


def _reports(signal: Signal, scope: bytes) -> Iterable[Any]:
    if signal is Signal.TRACES:
        return ScopeSpans.FromString(scope).spans
    return items.points_in(ScopeMetrics.FromString(scope)) if signal is Signal.METRICS else ()


def _is_proxy(body: bytes, start: int, end: int, allowance: wire.Allowance) -> bool:
    """Whether any name that any decoder may find for this scope is the proxies'."""
    for number, kind, _, value_at, value_end in wire.scan(body, start, end, allowance):
        if number != _SCOPE or kind != wire.LENGTH:
            continue
        for inner, inner_kind, _, name_at, name_end in wire.scan(body, value_at, value_end, allowance):
            if inner == _SCOPE_NAME and inner_kind == wire.LENGTH and body[name_at:name_end] == _PROXY_SCOPE:
                return True
    return False
