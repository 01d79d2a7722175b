from __future__ import annotations

import contextlib
import gzip
import io
import zlib

import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from meshwise.store import coding
from meshwise.store.errors import QueryError

PACK = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "identity": bytes,
}


def unpack(packed: bytes, name: str) -> bytes:
    reader = coding.open_body(io.BytesIO(packed), name)
    return b"".join(iter(lambda: coding.read_step(reader), b""))


@pytest.mark.parametrize("name", PACK)
@given(data=st.binary(max_size=5000), step=st.integers(1, 700))
def test_bodies_unpack_to_what_was_packed(name: str, data: bytes, step: int) -> None:
    """Reading in steps of any size gives back every byte."""
    reader = coding.open_body(io.BytesIO(PACK[name](data)), name)
    parts = []
    while part := coding.read_step(reader, step):
        assert len(part) <= step
        parts.append(part)
    assert b"".join(parts) == data


@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd"])
@given(noise=st.binary(min_size=1, max_size=100))
def test_noise_is_an_error_or_bytes(name: str, noise: bytes) -> None:
    """Bytes that were never packed end in a query error at worst."""
    with contextlib.suppress(QueryError):
        unpack(noise, name)


@pytest.mark.parametrize("name", ["gzip", "deflate", "lz4", "zstd"])
def test_a_cut_body_is_an_error(name: str) -> None:
    """A body that ends too early is not taken for a whole one."""
    whole = PACK[name](bytes(range(256)) * 500)
    for cut in (1, 4, 9, len(whole) // 2, len(whole) - 3):
        with pytest.raises(QueryError, match="unpack"):
            unpack(whole[:-cut], name)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_zstd_bodies_of_several_frames(parts: list[bytes]) -> None:
    """Frames one after the other, with checksums or without, and frames to skip, are one body."""
    packers = (zstandard.ZstdCompressor(write_checksum=True), zstandard.ZstdCompressor())
    packed = b"\x50\x2a\x4d\x18\x03\0\0\0abc" + b"".join(packers[len(part) % 2].compress(part) for part in parts)
    reader = coding.open_body(io.BytesIO(packed), "zstd")
    assert b"".join(iter(lambda: coding.read_step(reader), b"")) == b"".join(parts)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [("lz4,zstd,br,gzip", "lz4"), ("br, gzip;q=0.5", "gzip"), ("gzip;q=0, zstd", "zstd"), ("", ""), ("br", "")],
)
def test_choice_of_coding(accepted: str, chosen: str) -> None:
    """The first coding accepted that we serve is chosen."""
    assert coding.choose(accepted) == chosen


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
@given(parts=st.lists(st.binary(max_size=500), max_size=5))
def test_packed_streams_unpack(name: str, parts: list[bytes]) -> None:
    """A stream packed piece by piece, even an empty one, is one valid body."""
    packer = coding.compressor(name)
    assert packer is not None
    packed = b"".join(packer.compress(part) for part in parts) + packer.flush()
    reader = coding.open_body(io.BytesIO(packed), name)
    assert b"".join(iter(lambda: coding.read_step(reader), b"")) == b"".join(parts)
