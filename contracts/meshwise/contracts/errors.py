"""The root of the error tree; each room draws its own branches below it.

MeshwiseError
├── ConfigError      the operator's configuration is wrong
├── DocumentError    a policy, snapshot or SLO document is wrong (carries the path of the bad field)
└── UnavailableError another part of the mesh did not answer
"""

from __future__ import annotations


class MeshwiseError(Exception):
    """An error meant for a person: one line that names the thing and the remedy."""


class ConfigError(MeshwiseError):
    """A setting is wrong or missing; nothing was started."""


class UnavailableError(MeshwiseError):
    """Another part of the mesh could not be reached or refused for now; trying again may work."""


class DocumentError(MeshwiseError):
    """A document breaks its schema.

    ``path`` is the dotted path of the field that is wrong, ``problem`` says what and how to mend it. Both may quote the
    document, so what cannot be printed is escaped: the message is one line, and no terminal obeys it.
    """

    def __init__(self, path: str, problem: str) -> None:
        path, problem = _printable(path), _printable(problem)
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
