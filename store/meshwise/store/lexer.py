"""A lexer of ClickHouse SQL: just enough to find words, calls, settings and where a statement ends.

It runs on what the engine's own formatter printed wherever a decision depends on it, so that comments and odd
spellings are gone by then. It never decides what a statement means: the engine's parser does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["word", "quoted", "string", "number", "symbol"]

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.|'')*')
      | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
      | (?P<heredoc>\$(?P<tag>[A-Za-z0-9_]*)\$.*?\$(?P=tag)\$)
      | (?P<word>[^\W\d][\w$]*)
      | (?P<number>\d[\w.$]*)
      | (?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN: Final = re.compile(
    r"""(?: '(?:[^'\\]|\\.|'')*+' | `(?:[^`\\]|\\.|``)*+` | -(?!-) | /(?!\*) | [^'`"$\#\\/\-\x80-\U0010ffff] )*+""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)|(``|\"\"|'')", re.DOTALL)
_SIMPLE: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "e": "\x1b"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: ``text`` is a word as written, the contents of a quoted name or string, or one symbol."""

    kind: Kind
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the (upper-case) keywords, unquoted."""
        return self.kind == "word" and self.text.upper() in words


def _contents(quoted: str) -> str:
    return _ESCAPE.sub(lambda found: _SIMPLE.get(found[1], found[1]) if found[1] else found[2][0], quoted[1:-1])


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of ``text``; space and comments are left out."""
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup
        raw = found.group()
        if kind == "space":
            continue
        if kind in {"quoted", "string"}:
            yield Token("quoted" if kind == "quoted" else "string", _contents(raw), found.start(), found.end())
        elif found["heredoc"] is not None:
            yield Token("string", raw, found.start(), found.end())
        elif kind == "word":
            yield Token("word", raw, found.start(), found.end())
        else:
            yield Token("number" if kind == "number" else "symbol", raw, found.start(), found.end())


def calls(items: Sequence[Token]) -> set[str]:
    """Return the lower-case names that stand right before an opening parenthesis: functions, engines, types."""
    return {
        one.text.lower()
        for one, following in itertools.pairwise(items)
        if one.kind in ("word", "quoted") and following.text == "(" and following.kind == "symbol"
    }


def is_plain(text: str) -> bool:
    """Whether ``text`` leaves no doubt where strings and names begin and end.

    Outside quotes it then has no comment, dollar sign, backslash, double quote or letter beyond ASCII: what the engine
    takes for quotes (typographic ones), for words (``a$$``) and for comments (nested ones) goes beyond this lexer.
    """
    return _PLAIN.fullmatch(text) is not None


def settings(items: Sequence[Token]) -> list[tuple[str, str]]:
    """Return every ``name = value`` that follows a ``SETTINGS`` or ``MODIFY SETTING`` anywhere in the statement.

    Of a value that has several tokens only the first is given. It may be an expression, such as
    ``disk(type = local)``: its inside is read as settings, too.
    """
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(items):
        is_list = items[position].is_word("SETTINGS", "SETTING")
        position += 1
        while is_list and position + 2 < len(items) and items[position + 1].text == "=":
            found.append((items[position].text, items[position + 2].text))
            position, inside = _value(items, position + 2)
            found += inside
            is_list = position < len(items) and items[position].text == ","
            position += is_list
    return found


def _value(items: Sequence[Token], start: int) -> tuple[int, list[tuple[str, str]]]:
    """Return where the value that begins at ``start`` ends, and the settings inside its brackets.

    A value is what stands together without space, such as ``-1.``, ``1e-7`` and brackets with all that is in them.
    """
    inside: list[tuple[str, str]] = []
    depth = 0
    position = start
    while position < len(items):
        one = items[position]
        text = one.text if one.kind == "symbol" else ""
        if not depth and (text in (",", ")") or (position > start and one.start > items[position - 1].end)):
            break
        if text == "=" and position + 1 < len(items):
            inside.append((items[position - 1].text, items[position + 1].text))
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        position += 1
    return position, inside


@dataclass(frozen=True, slots=True)
class InsertHead:
    """Where the data of an ``INSERT`` begins in the text, and the format it is in."""

    statement_end: int
    data_start: int
    format: str


def insert_head(text: str) -> InsertHead | None:
    """Return where the data begins if ``text`` opens an ``INSERT`` that carries data, else ``None``.

    ``text`` may be cut off inside the data, and is only looked at as far as the statement goes.
    """
    depth = 0
    stream = tokens(text)
    first = next(stream, None)
    if first is None or not first.is_word("INSERT"):
        return None
    for token in stream:
        if token.kind == "symbol":
            depth += (token.text == "(") - (token.text == ")")
        elif depth or token.kind != "word":
            continue
        elif token.is_word("SELECT", "WITH", "INFILE"):
            return None
        elif token.is_word("VALUES"):
            return InsertHead(token.end, token.end, "Values")
        elif token.is_word("FORMAT"):
            name = next(stream, None)
            if name is None or name.kind != "word":
                return None
            if name.text.lower() == "values":
                return InsertHead(name.end, name.end, "Values")
            rest = re.compile(r"[ \t]*;?[ \t]*(?:\r?\n)?").match(text, name.end)
            return InsertHead(name.end, rest.end() if rest else name.end, name.text)
    return None
