"""HPACK's Huffman code, decoding only: this proxy sends strings as they are, which costs bytes and saves time.

The code is canonical: codes of one length ascend with their symbols. So the lengths (RFC 7541, appendix B: symbols 0 to
255, then the end of the string) determine it, and no table of codes is needed.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from meshwise.proxy.http2.codes import COMPRESSION_ERROR, ConnectionFault

_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b08060606"
    "0505050606060606060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c14161414161616171617171717171817"
    "181816171817171717151617161717181615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b14181415161515171616191918181a17"
    "1a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
_END_OF_STRING: Final = 256
_FAILED: Final = -1


def decode(data: bytes) -> bytes:
    """Return the string that ``data`` encodes.

    Raises:
        ConnectionFault: it holds the end-of-string symbol, or is padded with anything but fewer than eight ones.
    """
    steps, accepting = _machine()
    decoded = bytearray()
    state = 0
    for byte in data:
        for nibble in (byte >> 4, byte & 15):
            state, symbol = steps[state * 16 + nibble]
            if symbol >= 0:
                decoded.append(symbol)
            elif state == _FAILED:
                raise ConnectionFault(COMPRESSION_ERROR, "a Huffman code holds the end of the string")
    if not accepting[state]:
        raise ConnectionFault(COMPRESSION_ERROR, "a Huffman code is padded wrongly")
    return bytes(decoded)


def codes() -> list[tuple[int, int]]:
    """Return ``(code, length in bits)`` of every symbol."""
    found = [(0, 0)] * len(_LENGTHS)
    code = length = 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        found[symbol] = (code, length)
        code += 1
    return found


@cache
def _machine() -> tuple[list[tuple[int, int]], list[bool]]:
    """Build the decoder: for each state and four bits the next state and the symbol met (-1: none), and the ends.

    The shortest code has five bits, so four bits never complete two symbols.
    """
    branches: list[list[int]] = [[0, 0]]  # children of each inner node: another node, or ~symbol; 0 is unset
    accepting = [True]
    for symbol, (code, length) in enumerate(codes()):
        node = 0
        for depth in range(length - 1, 0, -1):
            bit = code >> depth & 1
            if not branches[node][bit]:
                branches[node][bit] = len(branches)
                branches.append([0, 0])
                # Padding is the beginning of the end-of-string symbol, which is all ones (RFC 7541 §5.2).
                seen = length - depth
                accepting.append(seen < 8 and code >> depth == (1 << seen) - 1)
            node = branches[node][bit]
        branches[node][code & 1] = ~symbol
    steps = [_step(branches, state, nibble) for state in range(len(branches)) for nibble in range(16)]
    return steps, accepting


def _step(branches: list[list[int]], state: int, nibble: int) -> tuple[int, int]:
    met = -1
    for shift in (3, 2, 1, 0):
        state = branches[state][nibble >> shift & 1]
        if state < 0:
            met = ~state
            if met == _END_OF_STRING:
                return _FAILED, -1
            state = 0
    return state, met
