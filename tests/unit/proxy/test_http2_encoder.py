"""HPACK encoding, read back by the decoder."""

from hypothesis import given
from hypothesis import strategies as st

from meshwise.proxy.http2.decoder import Decoder
from meshwise.proxy.http2.encoder import Encoder
from meshwise.proxy.http2.sensitive import Sensitive
from meshwise.proxy.http2.tables import Field

NAMES = st.sampled_from([b":path", b":method", b"cookie", b"x-a", b"x-b", b"x-long-name-of-a-field"])
VALUES = st.one_of(st.sampled_from([b"", b"GET", b"/", b"same", b"v" * 900, b"w" * 1100]), st.binary(max_size=8))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8).map(tuple)


def decoder(size: int = 4096) -> Decoder:
    """A peer's decoder."""
    return Decoder(max_list=1 << 20, max_fields=1000, max_table=size)


@given(st.lists(st.tuples(FIELDS, FIELDS, st.sampled_from([None, 4096, 100, 0])), max_size=20))
def test_any_sequence_of_lists_is_read_back(
    lists: list[tuple[tuple[Field, ...], tuple[Field, ...], int | None]],
) -> None:
    """Whatever was sent before, and however the peer changes the table's size, a peer reads the same fields."""
    encoder, peer = Encoder(), decoder()
    for fields, varying, size in lists:
        if size is not None:
            encoder.limit(size)
        assert list(peer.decode(encoder.encode(fields, varying)).fields) == [*fields, *varying]


def test_a_repeated_list_soon_takes_an_octet_a_field() -> None:
    """From the third time on a list is one index for each field."""
    encoder = Encoder()
    fields = ((b":method", b"POST"), (b"x-a", b"something long enough"), (b"x-b", b"another"))
    sizes = [len(encoder.encode(fields)) for _ in range(4)]
    assert sizes[0] > 30
    assert sizes[2:] == [3, 3]


def test_values_that_never_repeat_stay_out_of_the_table() -> None:
    """A thousand different paths push nothing out: the repeating field is still one octet."""
    encoder = Encoder()
    for number in range(1000):
        encoder.encode(((b":path", b"/items/%d" % number), (b"x-a", b"the same every time")))
    assert len(encoder.encode(((b"x-a", b"the same every time"),))) == 1


def test_secrets_are_never_put_into_the_table() -> None:
    """Neither credentials nor what its sender marked may be guessed from the size of later messages."""
    encoder, peer = Encoder(), decoder()
    fields = ((b"authorization", b"Bearer 12345678"), (b"x-key", Sensitive(b"12345678")))
    blocks = [encoder.encode(fields) for _ in range(4)]
    assert all(b"Bearer 12345678" in block and b"x-key" in block for block in blocks)
    assert [type(value) is Sensitive for _, value in peer.decode(blocks[-1]).fields] == [False, True]


def test_a_peer_without_a_table_gets_none() -> None:
    """A size of 0 is obeyed and told, and nothing is indexed from then on."""
    encoder = Encoder()
    encoder.limit(0)
    fields = ((b"x-a", b"b"),)
    assert encoder.encode(fields).startswith(b"\x20")
    assert all(b"x-a" in encoder.encode(fields) for _ in range(3))
