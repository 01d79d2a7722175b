"""The service map in other programs' languages: JSON, Graphviz DOT, Mermaid, GraphML.

Names come from telemetry: each language's own rules make them plain text, whatever they hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final
from xml.sax.saxutils import quoteattr

from meshwise.analytics.service_map import ServiceMap
from meshwise.contracts.rows import EdgeFinding

MAX_NAME: Final = 200
"""Longest name drawn, in characters; longer ones end in an ellipsis. JSON has all of it."""


def to_json(found: ServiceMap) -> str:
    """Return the map with every number."""
    return json.dumps(
        {
            "window": {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()},
            "nodes": [asdict(node) for node in found.nodes],
            "edges": [
                {
                    key: value
                    for key, value in asdict(edge).items()
                    if key not in ("computed_at", "window_start", "window_end")
                }
                for edge in found.edges
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def to_dot(found: ServiceMap) -> str:
    """Return the map for Graphviz; nodes without a proxy are dashed."""
    lines = ["digraph mesh {", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_quoted(n.name)}{' [style=dashed]' if n.virtual else ''};" for n in found.nodes]
    lines += [f"  {_quoted(e.source)} -> {_quoted(e.destination)} [label={_quoted(_label(e))}];" for e in found.edges]
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(found: ServiceMap) -> str:
    """Return the map for Mermaid, as Markdown pages draw it."""
    names = dict.fromkeys(
        [*(n.name for n in found.nodes), *(name for e in found.edges for name in (e.source, e.destination))]
    )
    ids = {name: f"n{position}" for position, name in enumerate(names)}
    virtual = {node.name for node in found.nodes if node.virtual}
    lines = ["flowchart LR"]
    for name, one in ids.items():
        text = _mermaid(_cut(name) or "(unknown)")
        lines.append(f'  {one}(["{text}"])' if name in virtual else f'  {one}["{text}"]')
    lines += [f'  {ids[e.source]} -->|"{_mermaid(_label(e))}"| {ids[e.destination]}' for e in found.edges]
    return "\n".join(lines) + "\n"


def to_graphml(found: ServiceMap) -> str:
    """Return the map for Gephi, yEd, networkx and whatever else reads GraphML."""
    keys = {"rate": "double", "error_share": "double", "p99": "double", "amplification": "double"}
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        '  <key id="virtual" for="node" attr.name="virtual" attr.type="boolean"/>',
        *(f'  <key id="{key}" for="edge" attr.name="{key}" attr.type="{kind}"/>' for key, kind in keys.items()),
        '  <graph edgedefault="directed">',
    ]
    virtual = {node.name: node.virtual for node in found.nodes}
    names = dict.fromkeys([*virtual, *(name for e in found.edges for name in (e.source, e.destination))])
    for name in names:
        flag = str(virtual.get(name, True)).lower()
        lines.append(f'    <node id={_attribute(name)}><data key="virtual">{flag}</data></node>')
    for e in found.edges:
        numbers = {"rate": e.request_rate, "error_share": e.error_share, "amplification": e.amplification}
        if e.client_p99 is not None:
            numbers["p99"] = e.client_p99
        data = "".join(f'<data key="{key}">{value!r}</data>' for key, value in numbers.items())
        lines.append(f"    <edge source={_attribute(e.source)} target={_attribute(e.destination)}>{data}</edge>")
    return "\n".join([*lines, "  </graph>", "</graphml>"]) + "\n"


FORMATS: Final[Mapping[str, Callable[[ServiceMap], str]]] = {
    "json": to_json,
    "dot": to_dot,
    "mermaid": to_mermaid,
    "graphml": to_graphml,
}


def _label(edge: EdgeFinding) -> str:
    more = f", x{edge.amplification:.2f}" if edge.amplification > 1.005 else ""
    return f"{edge.request_rate:.3g}/s, {edge.error_share:.2%} failed{more}"


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _quoted(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in _cut(text))
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid(text: str) -> str:
    # Mermaid has entity codes of its own; everything that could be syntax or markup becomes one.
    return "".join(one if one.isalnum() or one in " -_./,:%()…" else f"#{ord(one)};" for one in text)


def _attribute(text: str) -> str:
    plain = "".join(one if one.isprintable() else " " for one in text)
    return quoteattr(plain)
