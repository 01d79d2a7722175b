"""Readers: arbitrary splits of bytes in, one message at a time out, to a sink.

A reader never reads past the message it is in: after ``on_end`` it holds what follows until ``proceed()``, so that
pipelined requests are answered in order and one at a time.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from meshwise.proxy.errors import BadAnswer, BadRequest, HeadTooLarge, ProxyError, TargetTooLong
from meshwise.proxy.http1.bodies import ChunkedBody
from meshwise.proxy.http1.heads import (
    CHUNKED,
    UNTIL_CLOSE,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)
from meshwise.proxy.http1.limits import Limits

_UNASKED: Final = "the upstream sent more than was asked for"
_BARE_LF = re.compile(rb"(?<!\r)\n")


class RequestSink(Protocol):
    """Who hears about requests. ``on_refused`` is the last call a reader makes."""

    def on_head(self, head: RequestHead) -> None:
        """A request has begun."""

    def on_body(self, data: bytes) -> None:
        """A piece of its body, never empty, without framing."""

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        """What follows its body, if anything does: raw lines, and how many others were dropped."""

    def on_end(self) -> None:
        """It is complete; the reader holds until ``proceed``."""

    def on_refused(self, error: ProxyError) -> None:
        """The bytes are no request."""


class ResponseSink(Protocol):
    """Who hears about answers."""

    def on_head(self, head: ResponseHead) -> None:
        """An interim or final answer has begun."""

    def on_body(self, data: bytes) -> None:
        """A piece of its body, never empty, without framing."""

    def on_trailers(self, lines: bytes, dropped: int) -> None:
        """What follows its body, if anything does: raw lines, and how many others were dropped."""

    def on_end(self) -> None:
        """The final answer is complete."""

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        """The answer is a 101 to the upgrade that was asked for; ``rest``, and what follows, is no HTTP any more."""


class RequestReader:
    """The server's half of HTTP/1.1."""

    __slots__ = ("_body", "_held", "_left", "_limits", "_partial", "_refused", "_rest", "_running", "_sink")

    def __init__(self, sink: RequestSink, limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self._partial = bytearray()  # an incomplete head
        self._rest = b""  # bytes behind the message in hand
        self._left = 0  # bytes of a counted body still to come
        self._body: ChunkedBody | None = None
        self._held = False  # a message has ended and is not answered yet
        self._running = False
        self._refused = False

    @property
    def between(self) -> bool:
        """True when no message is in hand: none begun, or the last one ended and nothing follows."""
        if self._rest or self._left or self._body is not None:
            return False
        return len(self._partial) <= 2 and b"\r\n".startswith(self._partial)

    @property
    def waiting(self) -> bool:
        """True when bytes of a next request wait for ``proceed``."""
        return self._held and bool(self._rest)

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the wire."""
        if self._refused:
            return
        if self._held or self._running:
            self._rest += data
            return
        self._run(data)

    def proceed(self) -> None:
        """Go on to the next request; callable from inside ``on_end``."""
        self._held = False
        if self._rest and not self._running and not self._refused:
            rest, self._rest = self._rest, b""
            self._run(rest)

    def hold(self, data: bytes) -> None:
        """Read no request from ``data`` and what follows; ``take_rest`` returns it all."""
        self._held = True
        self._rest = data

    def take_rest(self) -> bytes:
        """Give up what arrived behind the message in hand, and whatever else arrives."""
        rest, self._rest = self._rest, b""
        self._refused = True
        return rest

    def stop(self) -> None:
        """Ignore whatever else arrives."""
        self._refused = True
        self._rest = b""

    def _run(self, data: bytes) -> None:
        self._running = True
        try:
            while data and not self._refused:
                if self._held:
                    self._rest = data + self._rest
                    break
                data = self._step(data)
                if not data and self._rest and not self._held:
                    data, self._rest = self._rest, b""
        except ProxyError as error:
            self.stop()
            self._sink.on_refused(error)
        finally:
            self._running = False

    def _step(self, data: bytes) -> bytes:
        """Use up some of ``data``; return what is left for the next step."""
        if self._left:
            piece = data[: self._left] if len(data) > self._left else data
            self._left -= len(piece)
            self._sink.on_body(piece)
            if not self._left:
                self._end()
            return data[len(piece) :]
        if self._body is not None:
            payload, rest = self._body.feed(data)
            if payload:
                self._sink.on_body(payload)
            if self._body.done:
                body, self._body = self._body, None
                if body.trailers or body.dropped:
                    self._sink.on_trailers(body.trailers, body.dropped)
                self._end()
            return rest
        return self._read_head(data)

    def _read_head(self, data: bytes) -> bytes:
        if self._partial:
            searched = max(0, len(self._partial) - 3)
            self._partial += data
            end = self._partial.find(b"\r\n\r\n", searched)
            if end >= 0:
                data = bytes(self._partial)
                self._partial.clear()
        else:
            searched = 0
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._partial += data
        if end <= 0:
            if end == 0:
                raise BadRequest("more than one empty line before the request")
            self._check_partial(searched)
            return b""
        end += 4
        # One empty line before a request is forgiven (RFC 9112 §2.2).
        start = 2 if data[:2] == b"\r\n" else 0
        if end - start > self._limits.head + self._limits.request_line:
            raise HeadTooLarge(f"the head is larger than {self._limits.head} bytes")
        head = parse_request_head(data, end, self._limits, start)
        if head.length == CHUNKED:
            self._body = ChunkedBody(self._limits)
        else:
            self._left = head.length
        self._sink.on_head(head)
        if not self._left and self._body is None:
            self._end()
        return data[end:]

    def _check_partial(self, searched: int) -> None:
        partial = self._partial
        if _BARE_LF.search(partial, searched):
            raise BadRequest("a line ends without a carriage return")
        if len(partial) > self._limits.request_line and partial.find(b"\n", 0, self._limits.request_line + 2) < 0:
            raise TargetTooLong(f"the request line is longer than {self._limits.request_line} bytes")
        if len(partial) > self._limits.head + self._limits.request_line:
            raise HeadTooLarge(f"the head is larger than {self._limits.head} bytes")

    def _end(self) -> None:
        self._held = True
        self._sink.on_end()


class ResponseReader:
    """The client's half of HTTP/1.1. Tell it of every request with ``expect`` before its answer can arrive."""

    __slots__ = (
        "_body",
        "_interim",
        "_left",
        "_limits",
        "_partial",
        "_sink",
        "_to_head",
        "_until_close",
        "_upgrade",
        "between",
    )

    def __init__(self, sink: ResponseSink, limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self._partial = bytearray()
        self._left = 0
        self._body: ChunkedBody | None = None
        self._interim = 0
        self._to_head = False
        self._upgrade = b""
        self._until_close = False
        self.between = True
        """No answer is expected: bytes that arrive now were not asked for."""

    def expect(self, *, to_head: bool, upgrade: bytes = b"") -> None:
        """Expect the answer to one request; ``to_head`` when its method was HEAD, ``upgrade`` the protocol offered."""
        self._to_head = to_head
        self._upgrade = upgrade
        self._interim = 0
        self.between = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes from the wire.

        Raises:
            BadAnswer: they are no answer, or one that was not asked for; the connection is useless.
        """
        while data:
            if self.between:
                raise BadAnswer(_UNASKED)
            if self._left:
                piece = data[: self._left] if len(data) > self._left else data
                self._left -= len(piece)
                data = data[len(piece) :]
                if data:
                    raise BadAnswer(_UNASKED)
                self._sink.on_body(piece)
                if not self._left:
                    self._end()
            elif self._body is not None:
                data = self._feed_chunks(self._body, data)
            elif self._until_close:
                self._sink.on_body(data)
                return
            else:
                data = self._read_head(data)

    def eof(self) -> bool:
        """The connection ended. Return whether this completed an answer (``on_end`` was called)."""
        if not self._until_close:
            return False
        self._until_close = False
        self.between = True
        self._sink.on_end()
        return True

    def _feed_chunks(self, body: ChunkedBody, data: bytes) -> bytes:
        try:
            payload, rest = body.feed(data)
        except BadRequest as error:
            raise BadAnswer(f"upstream: {error}") from None
        if rest:
            raise BadAnswer(_UNASKED)
        if payload:
            self._sink.on_body(payload)
        if body.done:
            self._body = None
            if body.trailers or body.dropped:
                self._sink.on_trailers(body.trailers, body.dropped)
            self._end()
        return rest

    def _read_head(self, data: bytes) -> bytes:
        if self._partial:
            searched = max(0, len(self._partial) - 3)
            self._partial += data
            end = self._partial.find(b"\r\n\r\n", searched)
            if end >= 0:
                data = bytes(self._partial)
                self._partial.clear()
        else:
            searched = 0
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._partial += data
        if end < 0:
            if _BARE_LF.search(self._partial, searched) or len(self._partial) > self._limits.head:
                raise BadAnswer("the upstream's head is malformed or too large")
            return b""
        end += 4
        if end > self._limits.head + 3:
            raise BadAnswer("the upstream's head is too large")
        head = parse_response_head(data, end, self._limits, to_head=self._to_head)
        rest = data[end:]
        if head.status == 101 and self._upgrade and head.upgrade == self._upgrade:
            self._sink.on_switched(head, rest)
            return b""
        if head.status < 200:
            self._interim += 1
            if self._interim > self._limits.interim or head.status == 101:
                raise BadAnswer("too many interim answers, or an upgrade nobody asked for")
            self._sink.on_head(head)
            return rest
        if head.length == CHUNKED:
            self._body = ChunkedBody(self._limits)
        elif head.length == UNTIL_CLOSE:
            self._until_close = True
        elif head.length == 0:
            # Refuse before anybody saw a complete-looking answer.
            if rest:
                raise BadAnswer(_UNASKED)
            self._sink.on_head(head)
            self._end()
            return b""
        else:
            self._left = head.length
        self._sink.on_head(head)
        return rest

    def _end(self) -> None:
        self.between = True
        self._sink.on_end()
