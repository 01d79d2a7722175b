"""Parameters that are names: ``{table:Identifier}``.

The engine puts them into a statement as it runs it, which is after the gate judged the text. So they are put in
before: what is judged is what runs. Parameters of other types stay values, whatever they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from meshwise.store import errors, lexer
from meshwise.store.errors import QueryError

_TYPE: Final = "Identifier"


def takes_names(formatted: str) -> bool:
    """Whether a statement, as the engine's formatter printed it, has a parameter that is a name."""
    return _TYPE in formatted and any(True for _ in _places(formatted))


def bind(formatted: str, parameters: Mapping[str, str]) -> str:
    """Return the statement with every ``{x:Identifier}`` replaced by the name that ``parameters`` give, quoted.

    Raises:
        QueryError: a name is not given, or is none.
    """
    parts: list[str] = []
    end = 0
    for name, start, stop in _places(formatted):
        value = parameters.get(name)
        if value is None:
            raise QueryError(errors.UNKNOWN_QUERY_PARAMETER, f"Substitution `{name[:100]}` is not set")
        if not value or "\0" in value:
            raise QueryError(errors.BAD_QUERY_PARAMETER, f"The value of the parameter {name[:100]} is not a name")
        parts += (formatted[end:start], quoted(value))
        end = stop
    return "".join((*parts, formatted[end:]))


def quoted(name: str) -> str:
    """Return ``name`` in the quotes that make any text a name."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _places(formatted: str) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each parameter that is a name, and where it begins and ends."""
    items = list(lexer.tokens(formatted))
    for opening, name, colon, kind, closing in zip(items, items[1:], items[2:], items[3:], items[4:], strict=False):
        if (opening.text, colon.text, closing.text) == ("{", ":", "}") and kind.text == _TYPE:
            yield name.text, opening.start, closing.end
