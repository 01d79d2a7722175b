"""docs/reference/telemetry.md: every attribute, metric and header of the mesh, from the module that names them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PAGE = Path("docs/reference/telemetry.md")
SOURCE = Path("contracts/meshwise/contracts/telemetry.py")
_GROUP = re.compile(r"# --- (.+?) -+$")


def render(root: Path) -> str:
    """Return the page, a table per group of names."""
    parts = [
        "# What proxies emit\n\n"
        "Generated from [the names](../../contracts/meshwise/contracts/telemetry.py) by `make docs`.\n"
        "Metrics are sent as deltas and are exact whatever the sampling of spans.\n"
    ]
    group = ""
    for heading, name, text in _names((root / SOURCE).read_text(encoding="utf-8")):
        if heading != group:
            group = heading
            parts.append(f"\n## {heading[:1].upper()}{heading[1:]}\n\n| name | meaning |\n| --- | --- |\n")
        parts.append(f"| `{name}` | {text or '–'} |\n")
    return "".join(parts)


def _names(source: str) -> Iterator[tuple[str, str, str]]:
    """Yield group, value and description of each constant that is a text with a dot or a dash: a name on the wire."""
    lines = source.splitlines()
    body = ast.parse(source).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)):
            continue
        value = node.value.value
        if not isinstance(value, str) or not re.search(r"[.-]", value):
            continue
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = " ".join(str(following.value.value).split()).replace("``", "`").replace("|", "\\|")
        group = next((found[1] for line in reversed(lines[: node.lineno]) if (found := _GROUP.match(line))), "scope")
        yield group, value, text
