"""Jaeger's JSON, as its query service and its UI write it, as spans.

A reference may carry the span it refers to, and that its own reference, and so on: ancestors that are in the file only
so are taken too. Spans of old clients tell no kind: one whose parent belongs to another service answered a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshwise.analytics.traces.model import KINDS, Link, Span

_MICRO = 1000


def spans_of(document: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the spans of a document with ``data``, a list of traces.

    Raises:
        KeyError, TypeError, ValueError: it is not what Jaeger writes.
    """
    for trace in document["data"]:
        services = {name: str(process["serviceName"]) for name, process in trace.get("processes", {}).items()}
        found: dict[str, Span] = {}
        for raw in trace["spans"]:
            for span in _with_ancestors(raw, services):
                # The span itself says more than a reference to it.
                if span.span_id not in found or raw["spanID"] == span.span_id:
                    found[span.span_id] = span
        yield from _with_kinds(found)


def _with_ancestors(raw: Any, services: Mapping[str, str]) -> Iterator[Span]:
    while isinstance(raw, Mapping):
        references = [one for one in raw.get("references") or () if isinstance(one, Mapping)]
        parents = [one for one in references if one.get("refType", "CHILD_OF") == "CHILD_OF"]
        parent = next(iter(parents or references), None)
        yield _span(raw, parent, references, services)
        raw = parent.get("span") if parent else None


def _span(
    raw: Mapping[str, Any], parent: Mapping[str, Any] | None, references: list[Any], services: Mapping[str, str]
) -> Span:
    tags = {str(tag["key"]): _text(tag.get("value")) for tag in raw.get("tags") or ()}
    start = int(raw["startTime"]) * _MICRO
    kind = tags.get("span.kind", "")
    return Span(
        trace_id=str(raw["traceID"]),
        span_id=str(raw["spanID"]),
        parent_id=str(parent["spanID"]) if parent is not None else "",
        service=services.get(str(raw.get("processID", "")), "")
        or str((raw.get("process") or {}).get("serviceName", "")),
        name=str(raw["operationName"]),
        kind=kind if kind in KINDS else "",
        start=start,
        end=start + int(raw["duration"]) * _MICRO,
        error=tags.get("error", "") in ("true", "True", "1") or tags.get("otel.status_code") == "ERROR",
        attributes=tags,
        links=tuple(
            Link(str(one.get("traceID") or raw["traceID"]), str(one["spanID"]))
            for one in references
            if one is not parent
        ),
    )


def _with_kinds(found: Mapping[str, Span]) -> Iterator[Span]:
    answered = {
        name
        for name, span in found.items()
        if span.parent_id in found and found[span.parent_id].service != span.service
    }
    called = {found[name].parent_id for name in answered}
    for name, span in found.items():
        if span.kind:
            yield span
        elif name in answered:
            yield replace(span, kind="server")
        else:
            yield replace(span, kind="client" if name in called else "internal")


def _text(value: object) -> str:
    return "true" if value is True else "false" if value is False else str(value)
