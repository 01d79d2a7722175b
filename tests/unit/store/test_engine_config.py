from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from meshwise.store.engine_config import limits, users_document, write_config
from meshwise.store.settings import StoreSettings

GIB = 2**30


def test_limits_follow_settings() -> None:
    """Time, threads, rows and the share of memory come from the settings."""
    found = limits(StoreSettings(query_timeout_s=7, threads=3, memory_share=0.25, max_result_rows=10), 8 * GIB)
    assert found.values["max_execution_time"] == "7"
    assert found.values["max_threads"] == "3"
    assert found.values["max_memory_usage"] == str(2 * GIB)
    assert (found.values["max_result_rows"], found.maxima["max_result_rows"]) == ("10", "10000000")


def test_every_limit_has_a_ceiling() -> None:
    """No limit of the profile can be lifted, zero (which means none) included, and what would open it is fixed."""
    found = limits(StoreSettings(), GIB)
    root = ET.fromstring(users_document(found, "meshwise"))
    constraints = root.find("profiles/default/constraints")
    assert constraints is not None
    for name in found.maxima:
        assert constraints.findtext(f"{name}/min") == "1"
        assert constraints.findtext(f"{name}/max") == found.maxima[name]
    for name in (
        "readonly",
        "dialect",
        "allow_introspection_functions",
        "output_format_schema",
        "max_untracked_memory",
    ):
        assert constraints.find(f"{name}/const") is not None


def test_expressions_in_data_are_off() -> None:
    """Data that nobody looked at before is never taken for an expression."""
    found = limits(StoreSettings(), GIB).values
    assert found["input_format_values_interpret_expressions"] == "0"
    assert found["input_format_values_deduce_templates_of_expressions"] == "0"


def test_grants_name_one_database() -> None:
    """Writing is granted on our database and nowhere else."""
    root = ET.fromstring(users_document(limits(StoreSettings(), GIB), "mine"))
    grants = [query.text or "" for query in root.iter("query")]
    assert [grant for grant in grants if "INSERT" in grant or "CREATE" in grant or "DROP" in grant] == grants[:1]
    assert grants[0].endswith("ON `mine`.*")
    assert not any("FILE" in grant or "URL" in grant or "ALL ON" in grant for grant in grants)


def test_files_are_written(tmp_path: Path) -> None:
    """Both files are well-formed, and the first names the second."""
    main = write_config(tmp_path / "a b&c", StoreSettings())
    users = ET.parse(main).getroot().findtext("users_config")
    assert users is not None
    assert ET.parse(users).getroot().tag == "clickhouse"


def test_granules_are_small(tmp_path: Path) -> None:
    """A row is found by unpacking four mebibytes at most, in tables that were made before as well."""
    main = write_config(tmp_path, StoreSettings())
    assert ET.parse(main).getroot().findtext("merge_tree/index_granularity_bytes") == str(4 * 2**20)
