"""What every OpenSLO document begins with: apiVersion, kind and metadata."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.reading import Reader, shown
from meshwise.contracts.windows import Span, parse_span

API_VERSION: Final = "openslo/v1"
KINDS: Final = ("SLO", "SLI", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
LONGEST_DESCRIPTION: Final = 1050
LONGEST_NAME: Final = 255
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._|/\\-]*[A-Za-z0-9])?", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Name and description of one document."""

    name: str
    display_name: str = ""
    description: str = ""


def open_document(document: object, position: int) -> tuple[str, Metadata, Reader]:
    """Return kind, metadata and a reader of ``spec``; paths begin with kind and name once they are known.

    Raises:
        DocumentError: it is no OpenSLO v1 document of a kind that is understood.
    """
    reader = Reader(document, f"[{position}]")
    version = reader.take_text("apiVersion", longest=64)
    if version != API_VERSION:
        raise DocumentError(reader.at("apiVersion"), f"{shown(version)} is not understood; write {API_VERSION}")
    kind = take_kind(reader, KINDS)
    metadata = read_metadata(reader.take_section("metadata"))
    path = f"{kind}/{metadata.name}"
    reader.path = path
    if not reader.has("spec"):
        raise DocumentError(f"{path}.spec", "is required")
    spec = Reader(reader.take("spec"), f"{path}.spec")
    reader.finish()
    return kind, metadata, spec


def open_inline(document: object, path: str, kind: str) -> tuple[Metadata, Reader]:
    """Return metadata and a reader of ``spec`` of a document written inside another one.

    Raises:
        DocumentError: it is not of ``kind``, or has no name.
    """
    reader = Reader(document, path)
    if reader.has("apiVersion") and reader.take_text("apiVersion", longest=64) != API_VERSION:
        raise DocumentError(reader.at("apiVersion"), f"is not understood; write {API_VERSION}")
    if reader.has("kind"):
        take_kind(reader, (kind,))
    metadata = read_metadata(reader.take_section("metadata"))
    if not reader.has("spec"):
        raise DocumentError(reader.at("spec"), "is required")
    spec = reader.take_section("spec")
    reader.finish()
    return metadata, spec


def take_kind(reader: Reader, known: tuple[str, ...]) -> str:
    """Return the document's kind.

    Raises:
        DocumentError: it is none of ``known``.
    """
    kind = reader.take_text("kind", longest=64)
    if kind in known:
        return kind
    if kind == "DataSource":
        remedy = "meshwise counts requests itself: leave the DataSource out and write type: meshwise in metricSource"
    elif near := difflib.get_close_matches(kind.lower(), [one.lower() for one in known], n=1):
        remedy = f"did you mean {next(one for one in known if one.lower() == near[0])!r}?"
    else:
        remedy = f"known kinds: {', '.join(known)}"
    raise DocumentError(reader.at("kind"), f"{shown(kind)} is not understood; {remedy}")


def read_metadata(reader: Reader) -> Metadata:
    """Return what ``metadata`` says.

    Raises:
        DocumentError: a name, label or annotation is wrong.
    """
    name = take_name(reader, "name")
    display_name = reader.take_text("displayName", "")
    _check_labels(reader.take("labels"), reader.at("labels"))
    _check_annotations(reader.take("annotations"), reader.at("annotations"))
    reader.finish()
    return Metadata(name, display_name)


def take_name(reader: Reader, key: str) -> str:
    """Return the name of a document under ``key``.

    Raises:
        DocumentError: it is missing or not a name.
    """
    name = reader.take_text(key, longest=LONGEST_NAME)
    if not _NAME.fullmatch(name):
        problem = f"{shown(name)} is not a name: letters and digits, and inside it - . _ | / \\"
        raise DocumentError(reader.at(key), problem)
    return name


def take_description(reader: Reader) -> str:
    """Return the description of a document, empty when it has none."""
    return reader.take_text("description", "", longest=LONGEST_DESCRIPTION)


def take_span(reader: Reader, key: str, default: str | None = None) -> Span:
    """Return a duration such as ``4w``; absent without a default is an error."""
    return span_of(reader.take_text(key, default, longest=64), reader.at(key))


def span_of(text: str, path: str) -> Span:
    """Return the duration that stands at ``path``.

    Raises:
        DocumentError: it is none.
    """
    try:
        return parse_span(text)
    except ValueError as error:
        raise DocumentError(path, str(error)) from None


def _check_labels(labels: object, path: str) -> None:
    if labels is None:
        return
    if not isinstance(labels, Mapping):
        raise DocumentError(path, "must be a mapping of names to text")
    for key, value in labels.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise DocumentError(path, f"{shown(key)} is not a label's name: up to 63 letters, digits and - _ .")
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(one, str) for one in values):
            raise DocumentError(f"{path}.{key}", "must be text or a list of texts; put it in quotes")


def _check_annotations(annotations: object, path: str) -> None:
    if annotations is None:
        return
    if not isinstance(annotations, Mapping):
        raise DocumentError(path, "must be a mapping of names to text")
    for key, value in annotations.items():
        name = key.rpartition("/")[2] if isinstance(key, str) else ""
        if not _KEY.fullmatch(name):
            raise DocumentError(
                path, f"{shown(key)} is not an annotation's name: prefix/name, the name up to 63 letters"
            )
        if not isinstance(value, str):
            raise DocumentError(f"{path}.{key[:80]}", "must be text; put it in quotes")
