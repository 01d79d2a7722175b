"""New inputs from old ones: bytes flipped, cut, repeated, joined, and words of the protocol put where they hurt."""

from __future__ import annotations

import random
from collections.abc import Sequence

_NUMBERS = (b"0", b"-1", b"1", b"00", b"255", b"65536", b"2147483648", b"18446744073709551616", b"1e3", b"0x10", b"NaN")
_ODD = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"%00",
    b"..",
    b"//",
)


def mutated(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes], *, most: int = 20_000) -> bytes:
    """Return one of ``seeds`` with a few changes; ``words`` mean something to whoever reads it."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        _change(rng, data, seeds, words)
    return bytes(data[:most])


def _change(rng: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    kind = rng.randrange(8)
    if kind == 0 and data:
        data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:
        data[min(at, len(data) - 1)] = rng.randrange(256)
    elif kind == 2:
        data[at:at] = rng.choice(words or _ODD)
    elif kind == 3:
        data[at:at] = rng.choice(_ODD + _NUMBERS)
    elif kind == 4:
        del data[at : at + rng.choice((1, 2, 8, 64))]
    elif kind == 5:
        data[at:at] = data[max(0, at - rng.choice((1, 4, 16, 64))) : at] * rng.choice((1, 2, 50))
    elif kind == 6:
        other = rng.choice(seeds)
        data[at:] = other[rng.randint(0, len(other)) :]
    else:
        data[at : at + 1] = rng.choice(words or _ODD)
