"""What a client of the HTTP interface asked for: statement, data, parameters, settings, format.

Rules as ClickHouse has them: the statement is in ``?query=``, in the body, or begins in the one and goes on in the
other; every URL parameter that is none of the transport's own is a setting.
"""

from __future__ import annotations

import email.parser
import email.policy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from meshwise.store import coding, errors, lexer
from meshwise.store.errors import QueryError

_TRANSPORT: Final = frozenset(
    {
        "query", "database", "user", "password", "quota_key", "role", "query_id", "session_id", "session_timeout",
        "session_check", "close_session", "default_format", "compress", "decompress", "buffer_size",
        "wait_end_of_query", "client_protocol_version", "stacktrace", "enable_http_compression",
        "http_zlib_compression_level", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
        "http_native_compression_disable_checksumming_on_decompress", "http_write_exception_in_output_format",
        "cancel_http_readonly_queries_on_client_close", "output_format_parallel_formatting", "add_http_cors_header",
    }
)  # fmt: skip
_PARAMETER: Final = "param_"


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with all that belongs to it. ``data`` is what an ``INSERT`` carries, else None.

    ``is_file``: ``data`` is a file that holds nothing else, not packed, and none of it was read yet.
    """

    statement: str
    database: str = ""
    format: str = ""
    default_format: str = "TabSeparated"
    read_only: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    data: BinaryIO | None = None
    data_head: bytes = b""
    is_file: bool = False


def read_query(
    method: str,
    url_parameters: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    body: BinaryIO,
    *,
    max_statement_bytes: int,
) -> Query:
    """Return the query that a request carries; the body is read as far as its statement goes.

    Raises:
        QueryError: the request is none, or its statement is too long.
    """
    given = dict(url_parameters)
    for name in ("compress", "decompress"):
        if given.get(name, "0") not in ("0", ""):
            raise QueryError(errors.NOT_IMPLEMENTED, f"{name}=1 is not served: use Content-Encoding, Accept-Encoding")
    reader = coding.open_body(body, headers.get("content-encoding", ""))
    content_type = headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        given |= _form(content_type, _whole(reader, 16 * max_statement_bytes))
        reader = io.BytesIO()
    in_url = given.get("query", "")
    if in_url and not in_url.endswith("\n"):
        in_url += "\n"
    prefix = in_url.encode("utf-8", "surrogateescape")
    if len(prefix) > max_statement_bytes:
        raise _too_long(max_statement_bytes)
    head = prefix + _at_least(reader, max_statement_bytes + 1)
    # Latin-1 gives every byte one character: the data behind the statement may be anything.
    insert = lexer.insert_head(head[: max_statement_bytes + 1].decode("latin-1"))
    data: BinaryIO | None = None
    data_head = b""
    is_file = False
    form = ""
    if insert is not None:
        statement, form, data = head[: insert.statement_end], insert.format, reader
        is_file = reader is body and insert.data_start == len(prefix) and not isinstance(body, io.BytesIO)
        if is_file:
            body.seek(0)
        else:
            data_head = head[insert.data_start :]
    else:
        statement = head
        if len(head) > max_statement_bytes:
            raise _too_long(max_statement_bytes)
    try:
        text = statement.decode("utf-8")
    except UnicodeDecodeError:
        raise QueryError(errors.SYNTAX_ERROR, "Syntax error: the statement is not UTF-8") from None
    if not text.strip():
        raise QueryError(errors.SYNTAX_ERROR, "Syntax error: Empty query")
    if "\0" in text:
        raise QueryError(errors.SYNTAX_ERROR, "Syntax error: the statement has a zero byte")
    return Query(
        statement=text.strip(),
        database=given.get("database") or headers.get("x-clickhouse-database", ""),
        format=form,
        default_format=given.get("default_format") or headers.get("x-clickhouse-format", "") or "TabSeparated",
        read_only=method != "POST",
        parameters={name[len(_PARAMETER) :]: value for name, value in given.items() if name.startswith(_PARAMETER)},
        settings={
            name: value
            for name, value in given.items()
            if name not in _TRANSPORT and not name.startswith((_PARAMETER, "http_"))
        },
        data=data,
        data_head=data_head,
        is_file=is_file,
    )


def _too_long(limit: int) -> QueryError:
    return QueryError(errors.QUERY_IS_TOO_LARGE, f"The statement is longer than {limit} bytes")


def _at_least(reader: BinaryIO, size: int) -> bytes:
    """Read up to ``size`` bytes, fewer only at the end."""
    parts: list[bytes] = []
    missing = size
    while missing > 0 and (part := coding.read_step(reader, missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _whole(reader: BinaryIO, limit: int) -> bytes:
    data = _at_least(reader, limit + 1)
    if len(data) > limit:
        raise _too_long(limit)
    return data


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """Return the plain fields of a form, in which long parameters travel."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
    )
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None or not isinstance(name, str):
            raise QueryError(errors.NOT_IMPLEMENTED, "External tables are not served: insert the data first")
        raw = part.get_payload(decode=True)
        fields[name] = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
    return fields
