"""The generated pages leave nothing out."""

import ast
import json
import shutil
from pathlib import Path
from typing import Any

from tools import proxy_reference, reference
from tools.policy_reference import PAGE as POLICY
from tools.policy_reference import SCHEMA
from tools.telemetry_reference import PAGE as TELEMETRY

from meshwise.contracts import telemetry
from meshwise.proxy.errors import ProxyError
from meshwise.proxy.events import EVENTS


def test_the_pages_in_the_tree_are_what_the_code_generates() -> None:
    """Whoever changes a setting, a field or a name changes its page too."""
    assert reference.problems(reference.ROOT) == []


def test_a_missing_or_stale_page_is_told(tmp_path: Path) -> None:
    """Each page by its name, with the remedy."""
    for name in (SCHEMA, Path("contracts/meshwise/contracts/telemetry.py")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((reference.ROOT / name).read_text())
    shutil.copytree(reference.ROOT / proxy_reference.SOURCE, tmp_path / proxy_reference.SOURCE)
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


def test_every_answer_event_metric_and_limit_of_a_proxy_has_its_row() -> None:
    """What the code counts by name is among the events, and every row says what it means."""
    page = (reference.ROOT / proxy_reference.PAGE).read_text()
    counted = {
        node.args[0].value
        for file in (reference.ROOT / proxy_reference.SOURCE).rglob("*.py")
        if file.parts[-2:-1] != ("access",) and file.name not in ("tls.py", "tls_listener.py", "connecting.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("count", "_count")
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
        and len(node.args[0].value) > 1
    }
    assert len(counted) > 15
    tunnels = {"tunnel_idle", "tunnel_cut_off", "tunnel_reset"}  # named by how they ended
    assert counted | tunnels == set(EVENTS)
    reasons = {kind.reason for kind in ProxyError.__subclasses__() for kind in kind.__subclasses__()}
    names = counted | reasons | {"meshwise_requests_total", "MAX_SOURCES", "MOST", "continuations", "RESET_BURST"}
    assert [name for name in names - {ProxyError.reason} if f"| `{name}`" not in page] == []
    assert len(list(proxy_reference.limits(reference.ROOT))) > 40
    assert "| –" not in page
