"""What the embedded store refuses before anything runs.

The engine runs inside our process with its rights: it could read files, reach other hosts and hand out objects of
the interpreter. The first wall is the profile and the grants (``engine_config``); this gate closes what those leave
open. It judges the text that the engine's own formatter printed: no comments, one spelling, and one statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from meshwise.store import errors, lexer
from meshwise.store.errors import QueryError

ALLOWED_TABLE_FUNCTIONS: Final = frozenset(
    {
        "numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries", "generaterandom", "primes",
        "values", "view", "null", "merge", "format", "mergetreeindex",
    }
)  # fmt: skip
"""Table functions that read nothing outside the store."""

_OPEN_FUNCTIONS: Final = frozenset(
    {
        "file", "filesystem", "python", "executable", "catboostevaluate", "eval", "showcertificate", "getserversetting",
        "getmacro", "generateserialid", "zookeepersessionuptime", "logtrace", "reversednsquery",
    }
)  # fmt: skip
_OPEN_PREFIXES: Final = ("ai", "addressto", "filesystem")
_OF_DATABASE: Final = frozenset({"merge", "mergetreeindex"})
"""Table functions whose first argument is a database."""

_ENGINES: Final = frozenset({"null", "view", "materializedview", "atomic"})

_FIRST_WORDS: Final = frozenset(
    {
        "SELECT", "WITH", "INSERT", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "EXCHANGE", "OPTIMIZE", "SHOW",
        "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "DELETE", "UPDATE", "(",
    }
)  # fmt: skip
_CREATABLE: Final = frozenset({"TABLE", "VIEW", "MATERIALIZED", "DATABASE", "OR"})
_ALTER_REFUSED: Final = ("ATTACH", "FETCH", "FREEZE", "UNFREEZE", "MOVE", "DETACH", "EXPORT")

_SYSTEM_TABLES: Final = frozenset(
    {
        "aggregate_function_combinators", "build_options", "codecs", "collations", "columns", "completions",
        "contributors", "data_skipping_index_types", "data_skipping_indices", "data_type_families", "databases",
        "detached_parts", "dictionaries", "documentation", "events", "formats", "functions", "keywords", "licenses",
        "merge_tree_settings", "merges", "metrics", "mutations", "numbers", "numbers_mt", "one", "parts",
        "parts_columns", "primes", "processes", "projection_parts", "projections", "settings", "table_engines",
        "table_functions", "tables", "time_zones", "view_refreshes", "zeros", "zeros_mt",
    }
)  # fmt: skip
"""What clients look at to know tables, types and what runs. Users, disks, stacks and the like are nobody's business;
the engine's grants do not cover these tables."""

_SETTING_NAMES: Final = frozenset(
    {
        "async_insert", "wait_for_async_insert", "wait_for_async_insert_timeout", "insert_deduplicate",
        "insert_deduplication_token", "deduplicate_blocks_in_dependent_materialized_views",
        "materialize_skip_indexes_on_insert",
        "format_schema", "format_schema_source", "format_schema_message_name", "log_comment", "session_timezone",
        "extremes", "final", "limit", "offset", "transform_null_in", "union_default_mode", "except_default_mode",
        "intersect_default_mode", "result_overflow_mode", "timeout_overflow_mode", "read_overflow_mode",
        "mutations_sync", "alter_sync", "lightweight_deletes_sync", "aggregate_functions_null_for_empty",
        "cast_keep_nullable", "cast_string_to_dynamic_use_inference", "describe_compact_output",
        "data_type_default_nullable",
        "prefer_column_name_to_alias", "any_join_distinct_right_table_keys", "asterisk_include_alias_columns",
        "asterisk_include_materialized_columns", "show_table_uuid_in_table_create_query_if_not_nil", "priority",
        "cancel_http_readonly_queries_on_client_close", "allow_suspicious_low_cardinality_types",
        "empty_result_for_aggregation_by_empty_set", "enable_named_columns_in_function_tuple", "implicit_select",
        "enable_optimize_predicate_expression", "ignore_data_skipping_indices", "force_primary_key",
        "force_index_by_date",
    }
)  # fmt: skip
_SETTING_PREFIXES: Final = (
    "input_format_", "output_format_", "format_csv_", "format_tsv_", "format_custom_", "format_regexp", "format_json_",
    "format_binary_", "format_protobuf_", "bool_", "date_time_", "max_", "min_", "join_", "optimize_", "group_by_",
    "distinct_", "sort_", "use_skip_", "use_index_", "query_plan_", "query_cache_", "use_query_cache", "parallel_view_",
)  # fmt: skip
_SETTING_OUTSIDE: Final = re.compile(
    r"(?:^|_)(?:path|paths|file|files|dir|directory|url|host|hosts|disk|disks|user)(?:_|$)"
)
_FIXED_SETTINGS: Final = {
    "format_schema_source": frozenset({"string"}),
    "format_schema": None,
    "result_overflow_mode": frozenset({"throw", "break"}),
}
_CLOSED_SETTINGS: Final = frozenset(
    {
        "input_format_values_interpret_expressions", "input_format_values_deduce_templates_of_expressions",
        "output_format_schema", "max_untracked_memory", "min_untracked_memory",
    }
)  # fmt: skip
"""Of the prefixes above, but: calls inside data, a file to write, memory that no limit sees."""
_SETTING_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")

_TABLE_SETTINGS: Final = frozenset(
    {
        "index_granularity", "index_granularity_bytes", "ttl_only_drop_parts", "merge_with_ttl_timeout",
        "non_replicated_deduplication_window", "fsync_after_insert", "fsync_part_directory", "min_bytes_for_wide_part",
        "min_rows_for_wide_part", "parts_to_delay_insert", "parts_to_throw_insert", "allow_nullable_key",
        "min_age_to_force_merge_seconds", "min_age_to_force_merge_on_partition_only", "max_parts_in_total",
        "min_compress_block_size", "max_compress_block_size", "deduplicate_merge_projection_mode",
    }
)  # fmt: skip


def check_setting(name: str, value: str) -> None:
    """Check one setting of a query.

    Raises:
        QueryError: the setting is none that a client may change.
    """
    lower = name.lower()
    known = lower in _SETTING_NAMES or (lower.startswith(_SETTING_PREFIXES) and _SETTING_NAME.fullmatch(lower))
    if not known or _SETTING_OUTSIDE.search(lower) or lower in _CLOSED_SETTINGS:
        raise QueryError(errors.SETTING_CONSTRAINT_VIOLATION, f"Setting {name[:100]} should not be changed here")
    allowed = _FIXED_SETTINGS.get(lower)
    if allowed is not None and value not in allowed:
        raise QueryError(
            errors.SETTING_CONSTRAINT_VIOLATION, f"Setting {name} must be one of {', '.join(sorted(allowed))}"
        )


def check_settings(given: Mapping[str, str]) -> None:
    """Check the settings of a whole request, together.

    Raises:
        QueryError: the first one that a client may not change.
    """
    for name, value in given.items():
        check_setting(name, value)
    if given.get("format_schema") and given.get("format_schema_source") != "string":
        raise QueryError(
            errors.SETTING_CONSTRAINT_VIOLATION, "Setting format_schema needs format_schema_source = 'string'"
        )


class Gate:
    """Judges statements. ``table_functions`` are the names of all that the engine has; ``database`` is ours."""

    def __init__(self, table_functions: Iterable[str], database: str = "meshwise") -> None:
        self._database = database
        outside = {name.lower() for name in table_functions} - ALLOWED_TABLE_FUNCTIONS
        # Functions of this name exist both as scalar and as table function, and the scalar one is harmless.
        self._denied = frozenset((outside | _OPEN_FUNCTIONS) - {"fuzzquery", "input"})

    def check(self, formatted: str) -> None:
        """Check one statement as the engine's formatter printed it.

        Raises:
            QueryError: the statement could leave the store, or do what only the operator may.
        """
        if not lexer.is_plain(formatted):
            # All that the formatter prints as it was written is the name and the type of a parameter.
            _refuse("comments, quotes and letters beyond ASCII in the name or type of a parameter")
        items = list(lexer.tokens(formatted))
        self._check_verb(items)
        self._check_tables(items)
        self._check_calls(items)
        if items[0].is_word("CREATE"):
            self._check_engines(items)
        words = [one.text.upper() for one in items if one.kind == "word"]
        if "OUTFILE" in words and "INTO" in words:
            _refuse("INTO OUTFILE")
        if "INFILE" in words and "INSERT" in words:
            _refuse("FROM INFILE")
        self._check_settings(items, in_table=words[:1] in (["CREATE"], ["ALTER"]))

    def check_values(self, data: str) -> bool:
        """Check the expressions that the data of ``INSERT … VALUES`` may hold; false if none may be run.

        Raises:
            QueryError: one of them reaches outside the store.
        """
        if not lexer.is_plain(data) or "`" in data:
            return False
        self._check_calls(list(lexer.tokens(data)))
        return True

    def _check_calls(self, items: Sequence[lexer.Token]) -> None:
        for name in sorted(lexer.calls(items)):
            if name in self._denied or name.startswith(_OPEN_PREFIXES):
                _refuse(f"the function {name}")

    def _check_verb(self, items: Sequence[lexer.Token]) -> None:
        first = items[0].text.upper() if items else ""
        if first not in _FIRST_WORDS:
            _refuse(f"the statement {first[:40]}")
        words = [one.text.upper() for one in items if one.kind == "word"]
        if first == "CREATE" and (
            words[1] not in _CREATABLE or "DICTIONARY" in words[1:4] or "TEMPORARY" in words[1:4]
        ):
            _refuse(f"CREATE {words[1]}")
        if first in ("DROP", "TRUNCATE", "RENAME") and ("DATABASE" in words[1:2] or "TABLES" in words[1:3]):
            # The tables are the store's own: without them nothing works until it is started again.
            _refuse(f"{first} {words[1]}")
        if first == "ALTER":
            if words[1] != "TABLE":
                _refuse(f"ALTER {words[1]}")
            for word in _ALTER_REFUSED:
                if word in words:
                    _refuse(f"ALTER TABLE … {word}")

    def _check_tables(self, items: Sequence[lexer.Token]) -> None:
        """Names of the form ``system.x`` in the text, and databases that table functions would look into."""
        for position, one in enumerate(items):
            after = [token.text for token in items[position + 1 : position + 4]]
            if one.kind not in ("word", "quoted"):
                continue
            name = one.text.lower()
            if one.text == "system" and after[:1] == ["."] and (not position or items[position - 1].text != "."):
                if after[1:2] and after[1] not in _SYSTEM_TABLES:
                    _refuse(f"the table system.{after[1][:60]}")
            elif after[:1] != ["("]:
                continue
            elif name in _OF_DATABASE and after[2:3] == [","]:
                if after[1] != self._database:
                    _refuse(f"{name} over the database {after[1][:60]}")
            elif name in _OF_DATABASE and after[2:3] != [")"]:
                _refuse(f"{name} over databases that are computed")
            elif name == "format" and (after[2:3] not in ([","], [")"]) or after[1].lower() == "values"):
                # The table function of this name reads its text in any format, and values may be expressions.
                _refuse("the function format unless its first argument is a constant, and not Values")

    @staticmethod
    def _check_engines(items: Sequence[lexer.Token]) -> None:
        for position, one in enumerate(items[:-2]):
            if one.is_word("ENGINE") and items[position + 1].text == "=" and items[position + 2].kind != "string":
                name = items[position + 2].text
                if name.lower() not in _ENGINES and not name.endswith("MergeTree"):
                    _refuse(f"the engine {name[:60]}")

    @staticmethod
    def _check_settings(items: Sequence[lexer.Token], *, in_table: bool) -> None:
        for name, value in lexer.settings(items):
            if not (in_table and name in _TABLE_SETTINGS):
                check_setting(name, value)
            if name == "format_schema":
                _refuse("format_schema inside the statement: pass it with the request")


def _refuse(what: str) -> None:
    raise QueryError(errors.ACCESS_DENIED, f"The embedded store refuses {what}")
