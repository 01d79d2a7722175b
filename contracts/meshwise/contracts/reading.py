"""Strict reading of documents: every field once, every mistake named by its path.

A ``Reader`` wraps one mapping of a document. Each ``take_*`` removes a field and checks its type; ``finish`` refuses
what was not taken and names the nearest valid field.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from meshwise.contracts.duration import parse_duration
from meshwise.contracts.errors import DocumentError


class Reader:
    """Reads one mapping of a document at ``path``; a missing mapping reads as empty."""

    def __init__(self, document: object, path: str = "") -> None:
        if document is None:
            document = {}
        if not isinstance(document, Mapping):
            raise DocumentError(path, f"must be a mapping, not {_kind(document)}")
        self._fields: dict[str, object] = {}
        for key, value in document.items():
            if not isinstance(key, str):
                raise DocumentError(path, f"field names are text, not {_kind(key)}")
            self._fields[key] = value
        self._known: list[str] = []
        self.path = path

    @property
    def names(self) -> tuple[str, ...]:
        """The fields not yet taken."""
        return tuple(self._fields)

    def at(self, key: str) -> str:
        """Return the dotted path of field ``key``."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Tell whether field ``key`` is present and not null."""
        return self._fields.get(key) is not None

    def take(self, key: str) -> object:
        """Remove and return the raw value of ``key``; ``None`` when absent."""
        self._known.append(key)
        return self._fields.pop(key, None)

    def take_section(self, key: str) -> Reader:
        """Return a reader of the mapping under ``key``; an empty one when absent."""
        return Reader(self.take(key), self.at(key))

    def take_text(self, key: str, default: str | None = None, *, longest: int = 256) -> str:
        """Return a non-empty text of at most ``longest`` characters; absent without a default is an error."""
        value = self.take(key)
        if value is None:
            if default is None:
                raise DocumentError(self.at(key), "is required")
            return default
        if not isinstance(value, str):
            raise DocumentError(self.at(key), f"must be text, not {_kind(value)}")
        if not value or len(value) > longest:
            raise DocumentError(self.at(key), f"must have 1 to {longest} characters, has {len(value)}")
        return value

    def take_flag(self, key: str, default: bool) -> bool:
        """Return a true or false."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise DocumentError(self.at(key), f"must be true or false, not {_kind(value)}")
        return value

    def take_count(self, key: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number between ``lowest`` and ``highest``, both included."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise DocumentError(self.at(key), f"must be a whole number, not {_kind(value)}")
        if not lowest <= value <= highest:
            raise DocumentError(self.at(key), f"{shown(value)} is outside {lowest} to {highest}")
        return value

    def take_number(self, key: str, default: float, lowest: float, highest: float) -> float:
        """Return a finite number between ``lowest`` and ``highest``, both included."""
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DocumentError(self.at(key), f"must be a number, not {_kind(value)}")
        # Comparing refuses NaN and infinity too, and does not overflow on an integer of thousands of digits.
        if not lowest <= value <= highest:
            raise DocumentError(self.at(key), f"{shown(value)} is outside {lowest:g} to {highest:g}")
        return float(value)

    def take_seconds(self, key: str, default: float | None, lowest: float, highest: float) -> float | None:
        """Return a duration in seconds between ``lowest`` and ``highest``; the document spells it ``250ms``."""
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise DocumentError(self.at(key), f"must be a duration such as 250ms or 1s, not {_kind(value)}")
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise DocumentError(self.at(key), str(error)) from None
        if not lowest <= seconds <= highest:
            raise DocumentError(self.at(key), f"{value} is outside {lowest:g} s to {highest:g} s")
        return seconds

    def take_list(self, key: str) -> Sequence[object] | None:
        """Return the items of a list; ``None`` when absent."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise DocumentError(self.at(key), f"must be a list, not {_kind(value)}")
        return value

    def finish(self) -> None:
        """Refuse every field that was not taken."""
        for key in self._fields:
            near = difflib.get_close_matches(key, self._known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(sorted(self._known))}"
            raise DocumentError(self.at(key[:80]), f"unknown field; {remedy}")


def shown(value: object) -> str:
    """Return a wrong value as an error message quotes it: short, whatever it is."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):  # the text of a huge one is refused by Python itself
        return str(value) if abs(value) < 10**20 else "a huge number"
    return _kind(value)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", dict: "a mapping", list: "a list"}
    return names.get(type(value), type(value).__name__)
