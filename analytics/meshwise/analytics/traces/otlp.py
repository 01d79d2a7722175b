"""OTLP's JSON as spans, and spans as OTLP's JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshwise.analytics.traces.model import Link, Span

_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_ERROR = 2


def spans_of(document: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the spans of an ExportTraceServiceRequest.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    for resource in document["resourceSpans"]:
        about = _attributes((resource.get("resource") or {}).get("attributes"))
        for scope in resource.get("scopeSpans") or ():
            for raw in scope.get("spans") or ():
                yield _span(raw, about)


def request_of(spans: Iterable[Span]) -> dict[str, Any]:
    """Return spans as one ExportTraceServiceRequest; ids are filled up to OTLP's lengths."""
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for span in spans:
        grouped[span.service].append(
            {
                "traceId": span.trace_id.lower().rjust(32, "0"),
                "spanId": span.span_id.lower().rjust(16, "0"),
                "parentSpanId": span.parent_id.lower().rjust(16, "0") if span.parent_id else "",
                "traceState": span.state,
                "name": span.name,
                "kind": _KINDS.index(span.kind) if span.kind in _KINDS else 0,
                "startTimeUnixNano": str(span.start),
                "endTimeUnixNano": str(max(span.start, span.end)),
                "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in span.attributes.items()],
                "links": [
                    {"traceId": one.trace_id.lower().rjust(32, "0"), "spanId": one.span_id.lower().rjust(16, "0")}
                    for one in span.links
                ],
                "status": {"code": _ERROR} if span.error else {},
            }
        )
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
                "scopeSpans": [{"scope": {"name": "meshwise.import"}, "spans": ones}],
            }
            for service, ones in sorted(grouped.items())
        ]
    }


def _span(raw: Mapping[str, Any], about: Mapping[str, str]) -> Span:
    kind = raw.get("kind", 0)
    if isinstance(kind, str):
        kind = next((i for i, name in enumerate(_KINDS) if kind.lower().endswith(name) and name), 0)
    status = raw.get("status") or {}
    return Span(
        trace_id=str(raw["traceId"]).lower(),
        span_id=str(raw["spanId"]).lower(),
        parent_id=str(raw.get("parentSpanId") or "").lower(),
        service=about.get("service.name", ""),
        name=str(raw.get("name", "")),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "",
        start=int(raw["startTimeUnixNano"]),
        end=int(raw["endTimeUnixNano"]),
        error=status.get("code") in (_ERROR, "STATUS_CODE_ERROR"),
        attributes=_attributes(raw.get("attributes")),
        links=tuple(
            Link(str(one.get("traceId") or raw["traceId"]).lower(), str(one["spanId"]).lower())
            for one in raw.get("links") or ()
        ),
        state=str(raw.get("traceState") or ""),
    )


def _attributes(raw: Any) -> dict[str, str]:
    return {str(one["key"]): _text(one.get("value") or {}) for one in raw or ()}


def _text(value: Mapping[str, Any]) -> str:
    for name, one in value.items():
        if name == "boolValue":
            return "true" if one else "false"
        return one if isinstance(one, str) else json.dumps(one)
    return ""
