"""Documents that others refer to by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from meshwise.contracts.errors import DocumentError
from meshwise.contracts.openslo.indicators import Sli
from meshwise.contracts.openslo.metadata import take_name
from meshwise.contracts.reading import Reader
from meshwise.contracts.slo import AlertRule, BurnRule

Found = TypeVar("Found")


class BrokenReferenceError(DocumentError):
    """A document refers to one that has a mistake of its own: that one is told, this one is not."""


@dataclass(slots=True)
class Library:
    """What was read so far, by kind and name. ``broken`` holds kind and name of documents with a mistake."""

    services: set[str] = field(default_factory=set)
    slis: dict[str, Sli] = field(default_factory=dict)
    conditions: dict[str, BurnRule] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    policies: dict[str, AlertRule] = field(default_factory=dict)
    broken: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, reader: Reader, key: str, kind: str, known: Mapping[str, Found]) -> tuple[str, Found]:
        """Return the name that stands under ``key`` and the document of ``kind`` it refers to.

        Raises:
            DocumentError: there is none.
        """
        name = take_name(reader, key)
        if name in known:
            return name, known[name]
        if (kind, name) in self.broken:
            raise BrokenReferenceError(reader.at(key), f"{kind} {name!r} has a mistake of its own")
        near = difflib.get_close_matches(name, known, n=1)
        remedy = (
            f"did you mean {near[0]!r}?"
            if near
            else f"apply a document of kind {kind} with that name, or write it inline"
        )
        raise DocumentError(reader.at(key), f"there is no {kind} {name!r}; {remedy}")
