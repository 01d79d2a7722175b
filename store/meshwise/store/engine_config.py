"""The engine's own configuration: a profile of limits, constraints on them, and grants on one database.

The gate in front is defence in depth; what is written here is enforced by the engine itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from meshwise.store import background
from meshwise.store.settings import StoreSettings

_ON_DATABASE: Final = (
    "SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP, TRUNCATE, OPTIMIZE, SHOW, CHECK"
)
_FIXED: Final = (
    "readonly",
    "dialect",
    "allow_ddl",
    "allow_introspection_functions",
    "input_format_record_errors_file_path",
    "output_format_schema",
    "max_untracked_memory",
)
"""Settings of the profile that nobody changes, whatever the gate let through."""
VALUES_EXPRESSIONS: Final = (
    "input_format_values_interpret_expressions",
    "input_format_values_deduce_templates_of_expressions",
)
"""Settings that run expressions in the data of an insert: off, but where the gate looked at the data before."""
_MIB: Final = 2**20
_GRANULE_BYTES: Final = 4 * _MIB
"""Most of a granule, the least that is unpacked for a row: about two thousand spans instead of up to 8,192.

The spans of a trace lie in as many granules, so reading it took half as long again with the engine's own 10 MiB. With a
quarter of this, inserts were a tenth dearer, and choosing among a hundred thousand granules took longer than reading.
Said here and not in a table's settings, where the engine lets nobody change it, it counts for what is inserted from now
on; a merge keeps about the granules of what it merges.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """A profile's values and the most a query may ask for; sizes in bytes, times in seconds."""

    values: Mapping[str, str]
    maxima: Mapping[str, str]


def physical_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limits(settings: StoreSettings, memory_bytes: int) -> Limits:
    """Return the limits of one query on a machine with ``memory_bytes`` of memory."""
    memory = max(256 * _MIB, int(memory_bytes * settings.memory_share))
    seconds = f"{settings.query_timeout_s:g}"
    bounded = {
        "max_threads": str(settings.threads),
        "max_insert_threads": str(settings.threads),
        "max_execution_time": seconds,
        "max_memory_usage": str(memory),
        "max_memory_usage_for_user": str(2 * memory),
        "max_temporary_data_on_disk_size_for_query": str(4 * 1024 * _MIB),
        "max_temporary_data_on_disk_size_for_user": str(8 * 1024 * _MIB),
        "max_result_bytes": str(1024 * _MIB),
        "max_query_size": str(settings.max_statement_bytes),
        "max_ast_depth": "1000",
        "max_ast_elements": "50000",
        "max_parser_depth": "1000",
    }
    values = bounded | {
        "max_result_rows": str(settings.max_result_rows),
        "max_bytes_before_external_group_by": str(memory // 2),
        "max_bytes_before_external_sort": str(memory // 2),
        # One insert is one block and one answer: the collector decides how much goes into it.
        "async_insert": "0",
        "deduplicate_blocks_in_dependent_materialized_views": "1",
        "allow_introspection_functions": "0",
        **dict.fromkeys(VALUES_EXPRESSIONS, "0"),
        "date_time_input_format": "best_effort",
    }
    maxima = bounded | {
        "max_result_rows": str(settings.max_export_rows),
        # A block is held whole in memory while it is read.
        "max_block_size": "1048576",
        "max_insert_block_size": "4194304",
    }
    return Limits(values, maxima)


def write_config(directory: Path, settings: StoreSettings) -> Path:
    """Write the engine's configuration into ``directory`` and return the path of its main file."""
    directory.mkdir(parents=True, exist_ok=True)
    memory = physical_memory()
    found = limits(settings, memory)
    users = directory / "users.xml"
    users.write_text(users_document(found, settings.database), encoding="utf-8")
    main = directory / "config.xml"
    main.write_text(
        "<clickhouse>\n"
        f"  <users_config>{escape(str(users.resolve()))}</users_config>\n"
        "  <timezone>UTC</timezone>\n"
        f"  <max_server_memory_usage>{int(memory * 0.8)}</max_server_memory_usage>\n"
        f"  <background_pool_size>{background.THREADS}</background_pool_size>\n"
        "  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>\n"
        "  <background_schedule_pool_size>8</background_schedule_pool_size>\n"
        "  <mark_cache_size>268435456</mark_cache_size>\n"
        f"  <merge_tree><index_granularity_bytes>{_GRANULE_BYTES}</index_granularity_bytes></merge_tree>\n"
        "</clickhouse>\n",
        encoding="utf-8",
    )
    return main


def users_document(found: Limits, database: str) -> str:
    """Return the users file: one user, its profile with constraints, its grants."""
    profile = "".join(f"      <{name}>{escape(value)}</{name}>\n" for name, value in found.values.items())
    # Zero means "no limit" to the engine, so the least is one.
    constraints = "".join(
        f"        <{name}><min>1</min><max>{escape(value)}</max></{name}>\n" for name, value in found.maxima.items()
    )
    fixed = "".join(f"        <{name}><const/></{name}>\n" for name in _FIXED)
    grants = (
        f"GRANT {_ON_DATABASE} ON `{database}`.*",
        "GRANT SELECT, SHOW ON system.*",
        # Clients that name no database start in this one; it shows nothing.
        "GRANT SHOW DATABASES ON default.*",
        "GRANT KILL QUERY ON *.*",
        "GRANT SET DEFINER ON *",
        "GRANT TABLE ENGINE ON *",
    )
    allowed = "".join(f"        <query>{escape(grant)}</query>\n" for grant in grants)
    return (
        "<clickhouse>\n"
        f"  <profiles>\n    <default>\n{profile}      <constraints>\n{constraints}{fixed}      </constraints>\n"
        "    </default>\n  </profiles>\n  <quotas><default/></quotas>\n"
        "  <users>\n    <default>\n      <password/>\n      <networks><ip>::/0</ip></networks>\n"
        f"      <profile>default</profile>\n      <quota>default</quota>\n      <grants>\n{allowed}      </grants>\n"
        "    </default>\n  </users>\n</clickhouse>\n"
    )
