"""The generated pages leave nothing out."""

import json
from pathlib import Path
from typing import Any

from tools import reference
from tools.policy_reference import PAGE as POLICY
from tools.policy_reference import SCHEMA
from tools.telemetry_reference import PAGE as TELEMETRY

from meshwise.contracts import telemetry


def test_the_pages_in_the_tree_are_what_the_code_generates() -> None:
    """Whoever changes a setting, a field or a name changes its page too."""
    assert reference.problems(reference.ROOT) == []


def test_a_missing_or_stale_page_is_told(tmp_path: Path) -> None:
    """Each page by its name, with the remedy."""
    for name in (SCHEMA, Path("contracts/meshwise/contracts/telemetry.py")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((reference.ROOT / name).read_text())
    assert reference.problems(tmp_path) == [
        f"{page} is out of date; run: make docs" for page in reference.pages(tmp_path)
    ]


def test_every_field_of_a_policy_has_its_row() -> None:
    """However deep it is."""
    page = (reference.ROOT / POLICY).read_text()

    def paths(node: dict[str, Any], at: str) -> list[str]:
        found = []
        for key, child in node.get("properties", {}).items():
            found += [f"{at}{key}", *paths(child, f"{at}{key}.")]
        return found

    schema = json.loads((reference.ROOT / SCHEMA).read_text())
    fields = paths(schema, "")
    assert len(fields) > 80
    assert [field for field in fields if f"| `{field}` |" not in page] == []


def test_every_name_on_the_wire_has_its_row() -> None:
    """Attributes, metrics and headers."""
    page = (reference.ROOT / TELEMETRY).read_text()
    names = [
        value
        for name, value in vars(telemetry).items()
        if name.isupper() and isinstance(value, str) and (name.startswith(("METRIC_", "HEADER_")) or "." in value)
    ]
    assert len(names) > 50
    assert [name for name in names if f"`{name}`" not in page] == []
