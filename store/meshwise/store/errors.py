"""Errors of the store, each with the number ClickHouse gives it."""

from __future__ import annotations

import re
from typing import Final

from meshwise.contracts.errors import MeshwiseError

UNKNOWN_FORMAT: Final = 73
BAD_ARGUMENTS: Final = 36
NOT_IMPLEMENTED: Final = 48
LOGICAL_ERROR: Final = 49
SYNTAX_ERROR: Final = 62
UNKNOWN_DATABASE: Final = 81
READONLY: Final = 164
TIMEOUT_EXCEEDED: Final = 159
QUERY_IS_TOO_LARGE: Final = 223
TOO_MANY_SIMULTANEOUS_QUERIES: Final = 202
CANNOT_DECOMPRESS: Final = 271
QUERY_WAS_CANCELLED: Final = 394
SETTING_CONSTRAINT_VIOLATION: Final = 452
UNKNOWN_QUERY_PARAMETER: Final = 456
BAD_QUERY_PARAMETER: Final = 457
ACCESS_DENIED: Final = 497
AUTHENTICATION_FAILED: Final = 516

_NAMES: Final = {
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    LOGICAL_ERROR: "LOGICAL_ERROR",
    UNKNOWN_DATABASE: "UNKNOWN_DATABASE",
    SYNTAX_ERROR: "SYNTAX_ERROR",
    READONLY: "READONLY",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    TOO_MANY_SIMULTANEOUS_QUERIES: "TOO_MANY_SIMULTANEOUS_QUERIES",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    QUERY_WAS_CANCELLED: "QUERY_WAS_CANCELLED",
    SETTING_CONSTRAINT_VIOLATION: "SETTING_CONSTRAINT_VIOLATION",
    UNKNOWN_QUERY_PARAMETER: "UNKNOWN_QUERY_PARAMETER",
    BAD_QUERY_PARAMETER: "BAD_QUERY_PARAMETER",
    ACCESS_DENIED: "ACCESS_DENIED",
    AUTHENTICATION_FAILED: "AUTHENTICATION_FAILED",
}

# Where ClickHouse's HTTP interface deviates from plain 400. Everything a client can cause stays below 500.
_STATUS: Final = {
    47: 404,  # UNKNOWN_IDENTIFIER
    60: 404,  # UNKNOWN_TABLE
    UNKNOWN_DATABASE: 404,
    NOT_IMPLEMENTED: 501,
    LOGICAL_ERROR: 500,
    TIMEOUT_EXCEEDED: 408,
    READONLY: 403,
    ACCESS_DENIED: 403,
    AUTHENTICATION_FAILED: 401,
    QUERY_IS_TOO_LARGE: 413,
    TOO_MANY_SIMULTANEOUS_QUERIES: 503,
    243: 503,  # NOT_ENOUGH_SPACE
    252: 503,  # TOO_MANY_PARTS
}

_CODE = re.compile(r"Code: (\d{1,5})\. ")
_NESTED = re.compile(r"^(Code: \d{1,5}\. DB::Exception: )(?:Code: \d{1,5}\. DB::Exception: )+")


class QueryError(MeshwiseError):
    """A query was refused or failed. ``code`` is ClickHouse's number; the text is ClickHouse's form of the error."""

    def __init__(self, code: int, problem: str) -> None:
        name = _NAMES.get(code)
        super().__init__(f"Code: {code}. DB::Exception: {problem}" + (f" ({name})" if name else ""))
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS.get(self.code, 400)


class EngineError(QueryError):
    """An error the engine reported; its own text is kept."""

    def __init__(self, text: str) -> None:
        start = text.find("Code: ")
        text = _NESTED.sub(r"\1", text[start:] if start >= 0 else text).strip()
        found = _CODE.match(text)
        MeshwiseError.__init__(self, text if found else f"Code: {LOGICAL_ERROR}. DB::Exception: {text}")
        self.code = int(found.group(1)) if found else LOGICAL_ERROR
