"""A TCP proxy in front of the store that misbehaves as told: what a network or a store in trouble does to an insert."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from enum import Enum
from typing import Final, Self

from support.processes import free_port


def _error(status: bytes, code: bytes, message: bytes) -> bytes:
    named = b"X-ClickHouse-Exception-Code: %s\r\n" % code if code else b""
    length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(message)
    return b"HTTP/1.1 %s\r\n%s%s%s" % (status, named, length, message)


_ERRORS: Final = (
    _error(b"500 Internal Server Error", b"241", b"Code: 241. DB::Exception: Memory limit exceeded (by a test)"),
    _error(b"500 Internal Server Error", b"252", b"Code: 252. DB::Exception: Too many parts (by a test)"),
    _error(b"500 Internal Server Error", b"159", b"Code: 159. DB::Exception: Timeout exceeded (by a test)"),
    _error(b"503 Service Unavailable", b"", b"no healthy upstream (by a test)"),
)


class Fault(Enum):
    """What happens to connections through the proxy."""

    NONE = "none"
    REFUSE = "refuse"
    """Connections are closed at once."""
    CUT_REQUEST = "cut request"
    """Connections are closed when some of a request has gone through."""
    LOSE_ANSWER = "lose answer"
    """The store does as it is asked, and nobody hears of it."""
    ERROR = "error"
    """The store, or what stands before it, says that it cannot now: another reason each time."""
    SLOW = "slow"
    """Every piece waits a fifth of a second."""


class FaultProxy:
    """Listens on ``port`` and relays to ``target``; ``fault`` may be changed at any time."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.fault = Fault.NONE
        self._errors = itertools.cycle(_ERRORS)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        if self.fault is Fault.REFUSE:
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 5.0)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        back = threading.Thread(target=self._answers, args=(server, client), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if self.fault is Fault.ERROR:
                    client.sendall(next(self._errors))
                    break
                if self.fault is Fault.CUT_REQUEST:
                    server.sendall(piece[: len(piece) // 2])
                    break
                if self.fault is Fault.SLOW:
                    time.sleep(0.2)
                server.sendall(piece)
        _end(server, client)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                if self.fault is Fault.LOSE_ANSWER:
                    break
                client.sendall(piece)
        _end(server, client)


def _end(*connections: socket.socket) -> None:
    for one in connections:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
