import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwise.collector.spool import segment
from meshwise.collector.spool.segment import Record

payloads = st.lists(st.binary(max_size=60) | st.just(b"MREC" + bytes(40)), max_size=6)


def build(contents: list[bytes]) -> tuple[bytes, list[int]]:
    """A segment file with ``contents``, and where each record ends."""
    data = segment.encode_header()
    ends = []
    for ordinal, payload in enumerate(contents):
        data += segment.encode_head(ordinal, len(payload), payload) + payload
        ends.append(len(data))
    return data, ends


@settings(deadline=None)
@given(payloads)
def test_what_was_written_is_read_back(contents: list[bytes]) -> None:
    """Every record comes back with its id, its item count and its bytes; nothing counts as torn or lost."""
    data, _ = build(contents)
    read = segment.decode(data)
    assert read.records == tuple(Record(i, len(payload), payload) for i, payload in enumerate(contents))
    assert (read.torn_bytes, read.lost_records, read.sound_bytes) == (0, 0, len(data))
    assert read.items == sum(map(len, contents))


@settings(deadline=None)
@given(payloads, st.data())
def test_a_file_cut_anywhere_keeps_exactly_its_whole_records(contents: list[bytes], draw: st.DataObject) -> None:
    """Whatever byte a crash cut the file at, the records before it are intact and nothing is invented."""
    data, ends = build(contents)
    cut = draw.draw(st.integers(0, len(data)))
    read = segment.decode(data[:cut])
    whole = [payload for payload, end in zip(contents, ends, strict=True) if end <= cut]
    assert [record.payload for record in read.records] == whole
    assert read.lost_records == 0
    assert read.sound_bytes + read.torn_bytes == cut
    assert segment.decode(data[: read.sound_bytes]).torn_bytes == 0


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6), st.data())
def test_a_flipped_bit_costs_one_record_and_is_noticed(contents: list[bytes], draw: st.DataObject) -> None:
    """One flipped bit in a record loses that record alone, and the loss shows as a lost record or a torn end."""
    data, ends = build(contents)
    at = draw.draw(st.integers(segment.HEADER_BYTES, len(data) - 1))
    damaged = bytearray(data)
    damaged[at] ^= 1 << draw.draw(st.integers(0, 7))
    hit = next(i for i, end in enumerate(ends) if at < end)
    read = segment.decode(bytes(damaged))
    assert [record.payload for record in read.records] == contents[:hit] + contents[hit + 1 :]
    assert read.lost_records + bool(read.torn_bytes) == 1


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_contents_or_one_clear_error(noise: bytes) -> None:
    """No file content makes the reader fail in another way than saying that it is not a segment."""
    try:
        read = segment.decode(segment.encode_header() + noise)
    except segment.UnknownFormatError:
        raise AssertionError("the header was ours") from None
    assert read.sound_bytes + read.torn_bytes == segment.HEADER_BYTES + len(noise)


def test_a_newer_format_is_left_alone() -> None:
    """A segment that a newer version wrote is refused by name, not read as damage."""
    header = bytearray(segment.encode_header())
    header[8] = 2
    header[-4:] = google_crc32c.value(bytes(header[:-4])).to_bytes(4, "little")
    with pytest.raises(segment.UnknownFormatError, match="newer"):
        segment.decode(bytes(header))


def test_a_foreign_file_is_left_alone() -> None:
    """A file that is not a segment is refused."""
    with pytest.raises(segment.UnknownFormatError, match="not a spool segment"):
        segment.decode(b"hello, I am some other file")
