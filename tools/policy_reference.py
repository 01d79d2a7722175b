"""docs/reference/policy.md: every field of a policy, from the published schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path("docs/reference/policy.md")
SCHEMA = Path("contracts/meshwise/contracts/policy.schema.json")


def render(root: Path) -> str:
    """Return the page."""
    schema: dict[str, Any] = json.loads((root / SCHEMA).read_text(encoding="utf-8"))
    parts = [
        "# Policy fields\n\n"
        "Generated from [the schema](../../contracts/meshwise/contracts/policy.schema.json) by `make docs`;\n"
        "what the sections are for is in [policies](../policies.md). A field that is left out has its default.\n\n"
        f"{schema['description']}\n\n"
        "| field | default | allowed | what it says |\n| --- | --- | --- | --- |\n"
    ]
    parts += [f"| `{path}` | {default} | {allowed} | {text} |\n" for path, default, allowed, text in _rows(schema, "")]
    return "".join(parts)


def _rows(node: dict[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    for key, child in node.get("properties", {}).items():
        at = f"{path}.{key}" if path else key
        inside = child.get("items", {}) if "properties" in child.get("items", {}) else child
        required = " Required." if key in node.get("required", ()) else ""
        yield at, _default(child), _allowed(child), _cell(child["description"] + required)
        yield from _rows(inside, f"{at}[]" if inside is not child else at)


def _default(node: dict[str, Any]) -> str:
    default = node.get("default")
    if default is None or default == []:
        return "–"
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"


def _allowed(node: dict[str, Any]) -> str:
    reference = node.get("$ref", "")
    if reference.startswith("#/properties/"):
        return f"as `{reference.rpartition('/')[2]}`"
    if reference:
        return "a duration"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"] if value is not None)
    if "minimum" in node:
        return f"{node['minimum']:,} to {node['maximum']:,}"
    said = node.get("type", "string")
    kind = said if isinstance(said, str) else said[0]
    names = {"boolean": "true, false", "string": "text", "object": "a section", "array": "a list"}
    return "names and texts" if "propertyNames" in node else names.get(str(kind), str(kind))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
