"""What control refuses although the document is sound.

MeshwiseError
├── ConflictError   the state forbids it now (409)
├── ForbiddenError  who asks may not have it (403)
└── NotFoundError   there is no such thing (404)

A document that breaks its schema raises ``contracts.errors.DocumentError`` (422).
"""

from __future__ import annotations

from meshwise.contracts.errors import MeshwiseError


class _AddressedError(MeshwiseError):
    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class ConflictError(_AddressedError):
    """The request is sound but does not fit the state: read it again, then decide anew."""


class ForbiddenError(_AddressedError):
    """The request is sound, but nothing in it proves a right to what it asks for."""


class NotFoundError(_AddressedError):
    """Nothing goes by that name."""
