"""HPACK decoding: the standard's examples, malformed blocks, limits."""

import pytest

from meshwise.proxy.http2.codes import COMPRESSION_ERROR, ConnectionFault
from meshwise.proxy.http2.decoder import Decoder
from meshwise.proxy.http2.sensitive import Sensitive


def decoder(*, max_list: int = 61_440, max_fields: int = 100) -> Decoder:
    """A decoder with the limits in question."""
    return Decoder(max_list=max_list, max_fields=max_fields)


REQUESTS = [
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", []),
    ("828684be5886a8eb10649cbf", [(b"cache-control", b"no-cache")]),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", [(b"custom-key", b"custom-value")]),
]


def test_examples_of_the_standard() -> None:
    """Three requests of RFC 7541, appendix C.4, one after the other, use what the ones before put into the table."""
    one = decoder()
    for block, extra in REQUESTS:
        fields = list(one.decode(bytes.fromhex(block)).fields)
        assert fields[0] == (b":method", b"GET")
        assert fields[3] == (b":authority", b"www.example.com")
        assert fields[4:] == extra


def test_a_repeated_block_is_read_anew_once_the_table_has_changed() -> None:
    """The same octets name another entry after an insertion, however often they were read before."""
    one = decoder()
    one.decode(b"\x40\x01a\x01x")
    assert list(one.decode(b"\xbe").fields) == [(b"a", b"x")]
    assert list(one.decode(b"\xbe").fields) == [(b"a", b"x")]
    one.decode(b"\x40\x01b\x01y")
    assert list(one.decode(b"\xbe").fields) == [(b"b", b"y")]


def test_entry_larger_than_the_table_empties_it() -> None:
    """An insertion that does not fit leaves no entries, and a block read before is no longer valid."""
    one = decoder()
    one.decode(b"\x40\x01a\x01x")
    one.decode(b"\xbe")
    one.decode(b"\x40\x01b\x7f" + b"\xa1\x1f" + b"y" * (127 + 0x21 + (0x1F << 7)))
    with pytest.raises(ConnectionFault):
        one.decode(b"\xbe")


def test_never_indexed_stays_marked() -> None:
    """A field its sender marked as sensitive is still marked when it is passed on."""
    [field] = decoder().decode(b"\x10\x01a\x01x").fields
    assert field == (b"a", b"x")
    assert type(field[1]) is Sensitive


@pytest.mark.parametrize(
    "block",
    [
        pytest.param("80", id="index 0"),
        pytest.param("be", id="empty table"),
        pytest.param("ff80808001", id="index beyond"),
        pytest.param("ffffffffffffff7f", id="endless integer"),
        pytest.param("4001", id="no name"),
        pytest.param("400161057878", id="value cut"),
        pytest.param("400161", id="no value"),
        pytest.param("3fe21f", id="table above the limit"),
        pytest.param("202020", id="three resizes"),
        pytest.param("8220", id="resize after a field"),
        pytest.param("7f", id="integer cut"),
    ],
)
def test_malformed_blocks_end_the_connection(block: str) -> None:
    """What cannot be read leaves the table undefined, so that nothing after it may be read."""
    with pytest.raises(ConnectionFault) as caught:
        decoder().decode(bytes.fromhex(block))
    assert caught.value.code == COMPRESSION_ERROR


def test_a_large_entry_named_thousands_of_times_is_not_kept() -> None:
    """4,000 octets that name an entry of 4 kB each keep no more than the limit allows, and say that it is too much."""
    one = decoder()
    size = 4000
    one.decode(b"\x40\x01a\x7f" + bytes(((size - 127) & 0x7F | 0x80, (size - 127) >> 7)) + b"v" * size)
    found = one.decode(b"\xbe" * 4000)
    assert found.too_large
    assert sum(len(name) + len(value) + 32 for name, value in found.fields) <= 61_440


def test_too_many_fields_are_reported_and_the_table_stays_in_step() -> None:
    """Fields over the limit are dropped, yet what they put into the table is there for the next block."""
    one = decoder(max_fields=3)
    assert one.decode(b"\x82" * 4 + b"\x40\x01a\x01x").too_large
    assert list(one.decode(b"\xbe").fields) == [(b"a", b"x")]
