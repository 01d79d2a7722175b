import gzip
import io

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.inflate import inflate

MIB = 1024 * 1024


def unpack(body: bytes, coding: str, limit: int = MIB) -> bytes:
    sizes: list[int] = []
    return inflate(body, coding, limit, sizes.append)


def reason_of(body: bytes, coding: str, limit: int = MIB) -> Reason:
    with pytest.raises(RefusedError) as refused:
        unpack(body, coding, limit)
    return refused.value.reason


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_every_coding_gives_back_the_body(body: bytes) -> None:
    """Identity, gzip and zstd give back what was packed."""
    assert unpack(body, "identity") == unpack(body, "") == body
    assert unpack(gzip.compress(body, mtime=0), "GZIP") == body
    assert unpack(zstandard.compress(body), "zstd") == body


def test_members_and_frames_are_joined() -> None:
    """Several gzip members or zstd frames in a row are one body."""
    assert unpack(gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), "gzip") == b"ab"
    assert unpack(zstandard.compress(b"a") + zstandard.compress(b"b"), "zstd") == b"ab"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_limit(coding: str) -> None:
    """Unpacking stops within one step of the limit, however far the bomb would go."""
    zeros = bytes(64 * MIB)
    body = gzip.compress(zeros, mtime=0) if coding == "gzip" else zstandard.compress(zeros)
    largest = 0

    def charge(size: int) -> None:
        nonlocal largest
        largest = max(largest, size)

    with pytest.raises(RefusedError) as refused:
        inflate(body, coding, MIB, charge)
    assert refused.value.reason is Reason.TOO_LARGE
    assert refused.value.retry_after_s is None
    assert largest <= MIB


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_the_limit_itself_is_allowed(coding: str) -> None:
    """Exactly the limit passes, one byte more does not."""
    pack = gzip.compress if coding == "gzip" else zstandard.compress
    assert len(unpack(pack(bytes(1000)), coding, 1000)) == 1000
    assert reason_of(pack(bytes(1001)), coding, 1000) is Reason.TOO_LARGE


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_broken_bodies_are_malformed(coding: str) -> None:
    """Cut, damaged, followed by rubbish, plain or empty: the sender made a mistake, and is told so."""
    pack = gzip.compress if coding == "gzip" else zstandard.ZstdCompressor(write_checksum=True).compress
    whole = pack(b"some telemetry " * 50)
    damaged = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    for body in (whole[:-3], whole[: len(whole) // 2], damaged, whole + b"rubbish", b"plain text", b""):
        assert reason_of(body, coding) is Reason.MALFORMED


def test_thousands_of_members_are_refused() -> None:
    """A body of ten thousand tiny gzip members is not worth its time."""
    assert reason_of(gzip.compress(b"", mtime=0) * 10_000, "gzip") is Reason.MALFORMED


def test_a_huge_zstd_window_is_refused() -> None:
    """A frame that wants more than 8 MB of window is malformed to us."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    out = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(out, closefd=False) as packer:
        packer.write(b"x" * 1000)
    assert reason_of(out.getvalue(), "zstd") is Reason.MALFORMED


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate", "x" * 1000])
def test_unknown_codings_and_layers_are_named(coding: str) -> None:
    """One layer of a known coding, nothing else."""
    assert reason_of(b"x", coding) is Reason.UNSUPPORTED_CODING
