"""The part of a request's body that is kept in case the request has to be sent again."""

from __future__ import annotations


class ReplayMemory:
    """What all requests of one listener may keep together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class ReplayBuffer:
    """One request's body as far as it has come. It is kept whole or not at all.

    Before the request was sent anywhere the buffer must keep what comes (``must_keep``), over the limit too; the caller
    then stops reading. Once sent, going over a limit drops everything: the request cannot be repeated any more.
    """

    __slots__ = ("_limit", "_memory", "_pieces", "replayable", "size")

    def __init__(self, memory: ReplayMemory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        self.replayable = True

    @property
    def over_limit(self) -> bool:
        """More is kept than a retry may use."""
        return self.size > self._limit or self._memory.used > self._memory.limit

    def add(self, data: bytes, *, must_keep: bool) -> None:
        """Take the next piece of the body."""
        if not self.replayable:
            return
        self._pieces.append(data)
        self.size += len(data)
        self._memory.used += len(data)
        if not must_keep and self.over_limit:
            self.drop()

    def take(self) -> bytes:
        """Return everything, to be sent now; what is over the limit cannot be taken a second time."""
        if not self._pieces:
            return b""
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        if self.over_limit:
            self.drop()
        return body

    def copy(self) -> bytes:
        """Return everything, and keep it."""
        return b"".join(self._pieces)

    def drop(self) -> None:
        """Give the memory back; the body cannot be sent again."""
        if self.size:
            self._memory.used -= self.size
            self._pieces.clear()
            self.size = 0
        self.replayable = False
