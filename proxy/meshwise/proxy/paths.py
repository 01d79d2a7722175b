"""The one form in which paths are compared, and which of them could be read in another. What is forwarded stays."""

from __future__ import annotations

import re
import string
from typing import Final

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")


def unescaped_path(target: str) -> str:
    """Return the path of ``target`` with needlessly escaped characters unescaped (RFC 3986 §6.2.2.2)."""
    path = target.partition("?")[0]
    return _ESCAPE.sub(_unescape, path) if "%" in path else path


def normal_path(target: str) -> str:
    """Return the unescaped path of ``target`` without dot segments (RFC 3986 §5.2.4).

    Templates are compared with this form, so that ``/%69tems`` and ``/x/../items`` are governed as ``/items`` is.
    """
    path = unescaped_path(target)
    return without_dots(path) if has_dots(path) else path


def has_dots(path: str) -> bool:
    """Tell whether an unescaped path has a segment ``.`` or ``..``."""
    return "/." in path and any(segment in (".", "..") for segment in path.split("/"))


def without_dots(path: str) -> str:
    """Return ``path`` with ``.`` and ``..`` taken as what they mean; none leads above the root."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def is_ambiguous(path: str) -> bool:
    """Tell whether an application may take an unescaped path for another one.

    So it is with dot segments, empty segments, parameters, and escaped separators.
    """
    lower = path.lower()
    return "//" in path or "\\" in path or ";" in path or "%2f" in lower or "%5c" in lower or has_dots(path)


def _unescape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0]
