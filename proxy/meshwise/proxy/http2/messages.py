"""The messages in the body of a gRPC call, as far as their framing goes: five octets, then as many as these say."""

from __future__ import annotations

from typing import Final

from meshwise.proxy.errors import BadRequest

_PREFIX: Final = 5


class Messages:
    """Follows any split of a body; keeps never more than one prefix, whatever length a message claims."""

    __slots__ = ("_left", "_prefix")

    def __init__(self) -> None:
        self._left = 0
        self._prefix = b""

    @property
    def whole(self) -> bool:
        """The last message that was begun is complete."""
        return not self._left and not self._prefix

    def end(self) -> None:
        """The body is complete.

        Raises:
            BadRequest: its last message is not.
        """
        if not self.whole:
            raise BadRequest("the request ends within a gRPC message")

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            BadRequest: a message has a flag that nobody knows.
        """
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            taken = data[at : at + _PREFIX - len(self._prefix)]
            at += len(taken)
            prefix = self._prefix + taken
            if prefix[0] > 1:
                raise BadRequest("a gRPC message has an unknown flag")
            if len(prefix) < _PREFIX:
                self._prefix = prefix
                return
            self._prefix = b""
            self._left = int.from_bytes(prefix[1:], "big")
