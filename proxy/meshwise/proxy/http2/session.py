"""One HTTP/2 connection, of either role: streams, windows, settings; bytes in, callbacks out, bytes to send collected.

Whoever owns a session feeds it with ``receive`` and sends what ``take`` returns. A stream's window is opened again as
its data is taken, so that a slow reader holds its stream; the connection's window at once, so that it holds no other.
What waits here is bounded by streams times the stream window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from meshwise.proxy.http2 import frames
from meshwise.proxy.http2.codes import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    StreamFault,
)
from meshwise.proxy.http2.decoder import Decoder
from meshwise.proxy.http2.encoder import Encoder
from meshwise.proxy.http2.frames import Frame, FrameReader
from meshwise.proxy.http2.guards import Guards
from meshwise.proxy.http2.limits import Limits
from meshwise.proxy.http2.streams import Stream, StreamOwner
from meshwise.proxy.http2.tables import Field

_FRAME: Final = frames.FRAME_BYTES
"""What we send at most in a frame: every peer has to take it."""
_STREAMS_UNTIL_TOLD: Final = 100
"""Streams opened before the peer has said how many it takes. source: RFC 9113 §6.5.2 advises no less."""
_MOST_STREAMS: Final = 2**31 - 1


class SessionOwner(Protocol):
    """Who hears about the connection as a whole."""

    def on_stream(self, stream: Stream) -> StreamOwner:
        """The peer has begun a stream (server's role alone); return who hears about it."""

    def on_goaway(self, code: int) -> None:
        """The peer takes no new streams; those it did not see have been reset with REFUSED_STREAM."""

    def on_room(self) -> None:
        """A stream has ended, or the peer takes more than before."""


class Session:
    """One connection. ``client`` says which role is ours. Nothing is to be called after a ``ConnectionFault``."""

    def __init__(self, owner: SessionOwner, limits: Limits, *, client: bool, trusted: bool = False) -> None:
        self.streams: dict[int, Stream] = {}
        self.going_away = False
        """No new streams: the peer said so, or we did."""
        self._owner = owner
        self._limits = limits
        self._client = client
        self._guards = Guards(trusted=trusted)
        self._reader = FrameReader()
        self._decoder = Decoder(max_list=limits.head, max_fields=limits.fields)
        self._encoder = Encoder()
        self._out: list[bytes] = []
        self._blocked = False
        self._control = 0
        self._next = 1
        self._last = 0  # highest stream the peer has begun
        self._settled = False  # the peer's first SETTINGS has come
        self._peer_streams = _STREAMS_UNTIL_TOLD
        self._peer_window = frames.DEFAULT_WINDOW
        self._send_window = frames.DEFAULT_WINDOW
        self._receive_window = limits.connection_window
        self._credit = 0
        self._line: deque[Stream] = deque()  # streams that wait for the connection's window
        self._block: list[bytes] = []
        self._block_size = 0
        self._block_stream = 0
        self._block_end = False
        self._now = 0.0

    def start(self) -> None:
        """Say what a connection begins with."""
        limits = self._limits
        values = {frames.INITIAL_WINDOW_SIZE: limits.stream_window, frames.MAX_HEADER_LIST_SIZE: limits.head}
        if self._client:
            self._out.append(frames.PREFACE)
            values[frames.ENABLE_PUSH] = 0
        else:
            values[frames.MAX_CONCURRENT_STREAMS] = limits.streams
        self._out.append(frames.settings(values))
        if limits.connection_window > frames.DEFAULT_WINDOW:
            self._out.append(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    def take(self) -> bytes:
        """Return what is to be sent now."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    # --- sending ---

    @property
    def room(self) -> int:
        """How many streams may be opened now."""
        if self.going_away or self._next > _MOST_STREAMS:
            return 0
        return self._peer_streams - len(self.streams)

    def open(self, owner: StreamOwner, now: float) -> Stream:
        """Begin a stream in the client's role; there has to be ``room``."""
        stream = Stream(self._next, self._peer_window, self._limits.stream_window, now)
        stream.owner = owner
        self.streams[stream.id] = stream
        self._next += 2
        return stream

    def send_fields(
        self, stream: Stream, fields: tuple[Field, ...], varying: Iterable[Field] = (), *, end: bool
    ) -> None:
        """Send a head; ``varying`` are the fields whose values will not come again."""
        block = self._encoder.encode(fields, varying)
        self._out.append(frames.headers(stream.id, block, end=end, largest=_FRAME))
        if end:
            self._local_end(stream)

    def send_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        """Send a piece of a body, or keep it until the peer takes it."""
        size = len(data)
        if (
            size <= _FRAME
            and not stream.queue
            and not self._blocked
            and size <= stream.send_window
            and size <= self._send_window
        ):
            self._data(stream, data, end=end)
            return
        if size:
            stream.queue.append(data)
            stream.queued += size
        if end:
            stream.tail = True
        was_full = stream.full
        stream.full = True
        self._pump(stream)
        if stream.full and not was_full:
            stream.owner.on_full()

    def send_trailers(self, stream: Stream, fields: tuple[Field, ...]) -> None:
        """Send trailers, and with them the end, after everything that waits."""
        if stream.queue:
            stream.tail = True
            stream.tail_fields = fields
        else:
            self.send_fields(stream, fields, end=True)

    def forget_queue(self, stream: Stream) -> None:
        """Drop what has not gone out: the end that follows says that the body is not complete."""
        stream.queue.clear()
        stream.queued = 0

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream before its end; its owner is not told."""
        if stream.id in self.streams:
            self._send_control(frames.rst_stream(stream.id, code))
            self._close(stream)

    def hold(self, stream: Stream) -> None:
        """Let the peer send no more than it already may."""
        stream.held = True

    def release(self, stream: Stream) -> None:
        """Let the peer go on."""
        if stream.held:
            stream.held = False
            self._give_credit(stream)

    def block(self) -> None:
        """The line is full: bodies wait until ``unblock``."""
        self._blocked = True

    def unblock(self) -> None:
        """The line has room again."""
        self._blocked = False
        self._control = 0
        for stream in list(self.streams.values()):
            if stream.queue:
                self._pump(stream)

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._out.append(frames.frame(frames.PING, 0, 0, b"meshwise"))

    def go_away(self, code: int = NO_ERROR, why: str = "") -> None:
        """Take no new streams. Those under way may end, unless ``code`` says that the connection ends."""
        if not self.going_away or code != NO_ERROR:
            self.going_away = True
            self._out.append(frames.goaway(self._last, code, why))

    # --- receiving ---

    def receive(self, data: bytes, now: float) -> None:
        """Take bytes from the wire, in the server's role without the preface.

        Raises:
            ConnectionFault: the connection has to end.
        """
        self._now = now
        for frame in self._reader.feed(data):
            kind = frame.kind
            if self._block and kind != frames.CONTINUATION:
                raise ConnectionFault(PROTOCOL_ERROR, "a header block is interrupted")
            if not self._settled:
                if kind != frames.SETTINGS or frame.flags & frames.ACK:
                    raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
                self._settled = True
            if kind == frames.DATA:
                self._on_data(frame)
            elif kind == frames.HEADERS:
                self._on_headers(frame)
            elif kind == frames.WINDOW_UPDATE:
                self._on_window_update(frame)
            elif kind == frames.CONTINUATION:
                self._on_continuation(frame)
            else:
                self._on_rare(frame)

    def _on_data(self, frame: Frame) -> None:
        length = len(frame.payload)
        self._receive_window -= length
        if self._receive_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more data than the connection's window")
        self._credit += length
        if self._credit * 2 >= self._limits.connection_window:
            self._send_control(frames.window_update(0, self._credit))
            self._receive_window += self._credit
            self._credit = 0
        data = frames.unpadded(frame)
        end = bool(frame.flags & frames.END_STREAM)
        if data:
            self._guards.carried()
        elif not end:
            self._guards.idle_frame(self._now)
        stream = self.streams.get(frame.stream)
        if stream is None:
            self._check_begun(frame.stream, "DATA")
            return
        if stream.remote_done:
            self._fail(stream, StreamFault(STREAM_CLOSED, "data after the end"))
            return
        stream.receive_window -= length
        if stream.receive_window < 0:
            self._fail(stream, StreamFault(FLOW_CONTROL_ERROR, "more data than the stream's window"))
            return
        if end:
            self._remote_end(stream)
        try:
            stream.owner.on_data(data, end=end)
        except StreamFault as fault:
            self._fail(stream, fault, tell=False)
            return
        stream.credit += length
        if not stream.held:
            self._give_credit(stream)

    def _on_headers(self, frame: Frame) -> None:
        if frame.stream == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        block = frames.unpadded(frame)
        if frame.flags & frames.PRIORITISED:
            if len(block) < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
            block = block[5:]
        end = bool(frame.flags & frames.END_STREAM)
        if frame.flags & frames.END_HEADERS:
            self._on_block(frame.stream, block, end=end)
        else:
            self._block = [block]
            self._block_size = len(block)
            self._block_stream = frame.stream
            self._block_end = end

    def _on_continuation(self, frame: Frame) -> None:
        if not self._block or frame.stream != self._block_stream:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._block.append(frame.payload)
        self._block_size += len(frame.payload)
        if len(self._block) - 1 > self._limits.continuations or self._block_size > self._limits.head:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block has no end")
        if frame.flags & frames.END_HEADERS:
            block = b"".join(self._block)
            self._block = []
            self._on_block(frame.stream, block, end=self._block_end)

    def _on_block(self, number: int, block: bytes, *, end: bool) -> None:
        # First of all decoded, whatever becomes of the stream: the table has to stay in step.
        found = self._decoder.decode(block)
        stream = self.streams.get(number)
        if stream is None:
            stream = self._begun_by_peer(number)
            if stream is None:
                return
        elif stream.remote_done:
            self._fail(stream, StreamFault(STREAM_CLOSED, "a header block after the end"))
            return
        if end:
            self._remote_end(stream)
        try:
            stream.owner.on_fields(found.fields, too_large=found.too_large, end=end)
        except StreamFault as fault:
            self._fail(stream, fault, tell=False)

    def _begun_by_peer(self, number: int) -> Stream | None:
        if self._client or number <= self._last:
            self._check_begun(number, "HEADERS")
            self._guards.idle_frame(self._now)
            return None
        if not number & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "a client's streams have odd numbers")
        self._last = number
        if self.going_away or len(self.streams) >= self._limits.streams:
            if not self.going_away:
                self._guards.refused()
            self._send_control(frames.rst_stream(number, REFUSED_STREAM))
            return None
        self._guards.stream()
        stream = Stream(number, self._peer_window, self._limits.stream_window, self._now)
        self.streams[number] = stream
        stream.owner = self._owner.on_stream(stream)
        return stream

    def _on_window_update(self, frame: Frame) -> None:
        if len(frame.payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE has four octets")
        self._guards.window_update()
        octets = frames.word(frame.payload) & frames.LARGEST_WINDOW
        if frame.stream == 0:
            if not octets:
                raise ConnectionFault(PROTOCOL_ERROR, "a window is opened by nothing")
            self._send_window += octets
            if self._send_window > frames.LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window is too large")
            self._serve_line()
            return
        stream = self.streams.get(frame.stream)
        if stream is None:
            self._check_begun(frame.stream, "WINDOW_UPDATE")
        elif not octets:
            self._fail(stream, StreamFault(PROTOCOL_ERROR, "a window is opened by nothing"))
        elif stream.send_window + octets > frames.LARGEST_WINDOW:
            self._fail(stream, StreamFault(FLOW_CONTROL_ERROR, "the stream's window is too large"))
        else:
            stream.send_window += octets
            if stream.queue:
                self._pump(stream)

    def _on_rare(self, frame: Frame) -> None:
        kind, payload = frame.kind, frame.payload
        if kind == frames.RST_STREAM:
            self._on_rst(frame)
        elif kind == frames.SETTINGS:
            self._on_settings(frame)
        elif kind == frames.PING:
            if frame.stream or len(payload) != 8:
                raise ConnectionFault(PROTOCOL_ERROR if frame.stream else FRAME_SIZE_ERROR, "PING is malformed")
            if not frame.flags & frames.ACK:
                self._guards.idle_frame(self._now)
                self._send_control(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.GOAWAY:
            self._on_goaway(frame)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "nobody asked for a push")
        else:
            # PRIORITY says nothing that would have to be obeyed; unknown kinds are to be ignored (RFC 9113 §5.5).
            if kind == frames.PRIORITY and (len(payload) != 5 or not frame.stream):
                raise ConnectionFault(PROTOCOL_ERROR if not frame.stream else FRAME_SIZE_ERROR, "PRIORITY is malformed")
            self._guards.idle_frame(self._now)

    def _on_rst(self, frame: Frame) -> None:
        if len(frame.payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM has four octets")
        stream = self.streams.get(frame.stream)
        if stream is None:
            self._check_begun(frame.stream, "RST_STREAM")
            self._guards.idle_frame(self._now)
            return
        self._close(stream)
        stream.owner.on_reset(frames.word(frame.payload), "")
        if not self._client:
            self._guards.reset(self._now, self._now - stream.begun)

    def _on_settings(self, frame: Frame) -> None:
        if frame.stream or len(frame.payload) % 6 or (frame.flags & frames.ACK and frame.payload):
            raise ConnectionFault(PROTOCOL_ERROR if frame.stream else FRAME_SIZE_ERROR, "SETTINGS is malformed")
        if frame.flags & frames.ACK:
            return
        self._guards.idle_frame(self._now)
        for key, value in frames.settings_in(frame.payload):
            if key == frames.INITIAL_WINDOW_SIZE:
                self._change_windows(value)
            elif key == frames.HEADER_TABLE_SIZE:
                self._encoder.limit(value)
            elif key == frames.MAX_CONCURRENT_STREAMS:
                self._peer_streams = value
            elif key == frames.ENABLE_PUSH and value > (0 if self._client else 1):
                raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH is out of its range")
            elif key == frames.MAX_FRAME_SIZE and not _FRAME <= value <= frames.LARGEST_FRAME:
                raise ConnectionFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE is out of its range")
        self._send_control(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._owner.on_room()

    def _on_goaway(self, frame: Frame) -> None:
        if frame.stream or len(frame.payload) < 8:
            raise ConnectionFault(PROTOCOL_ERROR if frame.stream else FRAME_SIZE_ERROR, "GOAWAY is malformed")
        last = frames.word(frame.payload) & frames.LARGEST_WINDOW
        self.going_away = True
        if self._client:
            for stream in [stream for stream in self.streams.values() if stream.id > last]:
                self._close(stream)
                stream.owner.on_reset(REFUSED_STREAM, "")
        self._owner.on_goaway(frames.word(frame.payload, 4))

    # --- inside ---

    def _check_begun(self, number: int, what: str) -> None:
        """Refuse a frame on a stream that never was; on one that has ended it may have crossed our last word."""
        begun = number < self._next and number & 1 if self._client else 0 < number <= self._last
        if not begun:
            raise ConnectionFault(PROTOCOL_ERROR, f"{what} on a stream that was not begun")

    def _fail(self, stream: Stream, fault: StreamFault, *, tell: bool = True) -> None:
        """Reset a stream because of the peer."""
        if stream.id in self.streams:
            self._send_control(frames.rst_stream(stream.id, fault.code))
            self._close(stream)
            if tell:
                stream.owner.on_reset(fault.code, str(fault))
        if not self._client:
            self._guards.reset(self._now, self._now - stream.begun)

    def _send_control(self, frame: bytes) -> None:
        if self._blocked:
            self._control += len(frame)
            if self._control > self._limits.unsent_control:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "the peer does not read what it makes us say")
        self._out.append(frame)

    def _change_windows(self, size: int) -> None:
        if size > frames.LARGEST_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is too large")
        change = size - self._peer_window
        self._peer_window = size
        for stream in list(self.streams.values()):
            stream.send_window += change
            if stream.send_window > frames.LARGEST_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window is too large")
            if stream.queue:
                self._pump(stream)

    def _give_credit(self, stream: Stream) -> None:
        if stream.credit * 2 >= self._limits.stream_window and not stream.remote_done and stream.id in self.streams:
            self._send_control(frames.window_update(stream.id, stream.credit))
            stream.receive_window += stream.credit
            stream.credit = 0

    def _data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        size = len(data)
        stream.send_window -= size
        self._send_window -= size
        self._guards.data_sent()
        self._out.append(frames.data_head(stream.id, size, end=end) + data)
        if end:
            self._local_end(stream)

    def _pump(self, stream: Stream) -> None:
        """Send of a stream's queue what may be sent."""
        queue = stream.queue
        while queue:
            room = min(stream.send_window, self._send_window, _FRAME)
            if self._blocked or room <= 0:
                if self._send_window <= 0 and not stream.waiting:
                    stream.waiting = True
                    self._line.append(stream)
                return
            piece = queue.popleft()
            if len(piece) > room:
                queue.appendleft(piece[room:])
                piece = piece[:room]
            stream.queued -= len(piece)
            self._data(stream, piece, end=not queue and stream.tail and stream.tail_fields is None)
        if stream.tail and not stream.local_done:
            if stream.tail_fields is not None:
                self.send_fields(stream, stream.tail_fields, end=True)
            else:
                self._data(stream, b"", end=True)
        if stream.full:
            stream.full = False
            if stream.id in self.streams:
                stream.owner.on_ready()

    def _serve_line(self) -> None:
        """Let the streams that wait for the connection's window have it in turn."""
        for _ in range(len(self._line)):
            if self._send_window <= 0:
                return
            stream = self._line.popleft()
            stream.waiting = False
            if stream.queue and stream.id in self.streams:
                self._pump(stream)

    def _local_end(self, stream: Stream) -> None:
        stream.local_done = True
        if stream.remote_done:
            self._guards.completed()
            self._close(stream)

    def _remote_end(self, stream: Stream) -> None:
        stream.remote_done = True
        if stream.local_done:
            self._guards.completed()
            self._close(stream)

    def _close(self, stream: Stream) -> None:
        if self.streams.pop(stream.id, None) is not None:
            stream.queue.clear()
            stream.queued = 0
            self._owner.on_room()
