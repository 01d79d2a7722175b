"""Generates the pages of docs/reference from the code, settings here; `--check` through `problems`.

python -m tools.reference
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tools import policy_reference, proxy_reference, telemetry_reference

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/reference/settings.md")
ROOMS = ("store", "collector", "control", "analytics", "dashboard", "proxy")


def problems(root: Path) -> list[str]:
    """Return a line for each page in the tree that is not what the code would generate."""
    return [
        f"{page} is out of date; run: make docs"
        for page, text in pages(root).items()
        if not (root / page).is_file() or (root / page).read_text(encoding="utf-8") != text
    ]


def pages(root: Path) -> dict[Path, str]:
    """Return every page as the code would generate it."""
    return {
        PAGE: render(),
        policy_reference.PAGE: policy_reference.render(root),
        telemetry_reference.PAGE: telemetry_reference.render(root),
        proxy_reference.PAGE: proxy_reference.render(root),
    }


def render() -> str:
    """Return the settings page, a table per room."""
    parts = [
        "# Settings\n\n"
        "Generated from the code by `make docs`. Every key lives in `meshwise.yaml` under its room, and can be given\n"
        "as an environment variable: `store.port` is `MESHWISE_STORE__PORT`. A flag wins over the environment, the\n"
        "environment over the file. Unknown keys are errors; `meshwise config check` finds them, starting nothing.\n"
    ]
    for room in ROOMS:
        module = importlib.import_module(f"meshwise.{room}.settings")
        model: type[BaseModel] = getattr(module, f"{room.capitalize()}Settings")
        parts.append(f"\n## {room}\n\n| key | default | what it does |\n| --- | --- | --- |\n")
        parts += [f"| `{key}` | {default} | {text} |\n" for key, default, text in _rows(room, model)]
    return "".join(parts)


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}.{name}"
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _rows(key, annotation)
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        if default is PydanticUndefined:
            shown = "required"
        elif default in (None, "", (), []):
            shown = "–"
        else:
            shown = f"`{_shown(default)}`"
        description = (field.description or "").replace("|", "\\|").replace("\n", " ")
        yield key, shown, description


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, BaseModel):
        return default.model_dump_json()
    return str(default)


if __name__ == "__main__":
    for name, content in pages(ROOT).items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(content, encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
