"""What earlier hops say of the caller, as far as they are trusted."""

from __future__ import annotations

import pytest

from meshwise.proxy.forwarded import Rewritten, names_in, rewrite

EVIL = (
    (b"x-forwarded-for", b"6.6.6.6"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"evil.test"),
    (b"x-forwarded-port", b"1"),
    (b"x-real-ip", b"6.6.6.6"),
    (b"forwarded", b"for=6.6.6.6;host=evil.test"),
)


def rewritten(*fields: tuple[bytes, bytes], hops: int, peer: str = "10.0.0.1", secure: bool = False) -> Rewritten:
    """What becomes of the fields."""
    return rewrite(fields, hops=hops, peer=peer, secure=secure, authority=b"shop")


def test_nobody_is_trusted_unless_told() -> None:
    """With no trusted hop everything that came is dropped, and our own view is sent."""
    got = rewritten(*EVIL, hops=0)
    assert dict(got.fields) == {
        b"x-forwarded-for": b"10.0.0.1",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"shop",
        b"forwarded": b"for=10.0.0.1;proto=http;host=shop",
    }
    assert got.client == "10.0.0.1"
    assert dict(rewritten(hops=0, secure=True).fields)[b"x-forwarded-proto"] == b"https"


@pytest.mark.parametrize(
    ("said", "hops", "sent", "client"),
    [
        (b"6.6.6.6, 1.1.1.1", 1, b"1.1.1.1, 10.0.0.1", "1.1.1.1"),
        (b"6.6.6.6, 1.1.1.1, 2.2.2.2", 2, b"1.1.1.1, 2.2.2.2, 10.0.0.1", "1.1.1.1"),
        (b"1.1.1.1", 3, b"1.1.1.1, 10.0.0.1", "1.1.1.1"),
        (b"", 1, b"10.0.0.1", "10.0.0.1"),
        (b"unknown", 1, b"unknown, 10.0.0.1", "10.0.0.1"),
        (b"[2001:db8::1]:443", 1, b"[2001:db8::1]:443, 10.0.0.1", "2001:db8::1"),
        (b"1.1.1.1:5000", 1, b"1.1.1.1:5000, 10.0.0.1", "1.1.1.1"),
    ],
)
def test_the_last_entries_are_those_of_trusted_hops(said: bytes, hops: int, sent: bytes, client: str) -> None:
    """What a caller put in front of them is dropped; the client is the leftmost that is left."""
    got = rewritten((b"x-forwarded-for", said), hops=hops)
    assert dict(got.fields)[b"x-forwarded-for"] == sent
    assert got.client == client


def test_several_lines_are_one_list() -> None:
    """A caller cannot hide an entry in a line of its own."""
    got = rewritten((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"1.1.1.1"), hops=1)
    assert dict(got.fields)[b"x-forwarded-for"] == b"1.1.1.1, 10.0.0.1"


def test_a_trusted_hop_says_scheme_host_and_port() -> None:
    """One sound value each; anything else is what we see ourselves."""
    trusted = (
        (b"x-forwarded-proto", b"HTTPS"),
        (b"x-forwarded-host", b"shop.test:8443"),
        (b"x-forwarded-port", b"8443"),
    )
    got = dict(rewritten(*trusted, hops=1).fields)
    assert got[b"x-forwarded-proto"] == b"https"
    assert (got[b"x-forwarded-host"], got[b"x-forwarded-port"]) == (b"shop.test:8443", b"8443")
    odd = ((b"x-forwarded-proto", b"gopher"), (b"x-forwarded-host", b"a b"), (b"x-forwarded-port", b"x"))
    got = dict(rewritten(*odd, (b"x-forwarded-host", b"twice"), hops=1).fields)
    assert (got[b"x-forwarded-proto"], got[b"x-forwarded-host"]) == (b"http", b"shop")
    assert b"x-forwarded-port" not in got


def test_forwarded_is_cut_alike() -> None:
    """Elements are split outside quotes; the last ones stay, ours follows, an IPv6 peer is quoted."""
    field = (b"forwarded", b'for="6.6.6.6, x", for="[2001:db8::2]";proto=https')
    got = dict(rewritten(field, hops=1, peer="2001:db8::9").fields)
    assert got[b"forwarded"] == b'for="[2001:db8::2]";proto=https, for="[2001:db8::9]";proto=http;host=shop'
    assert b"forwarded" not in dict(rewritten(hops=1).fields)


def test_what_a_gateway_takes_for_the_same_goes_too() -> None:
    """Dashes and underscores, in any mixture; what only resembles a name stays."""
    names = (b"x-forwarded-for", b"x_forwarded_for", b"x-forwarded_proto", b"x-forwarded-client-cert", b"x-forwarded")
    assert names_in((name, b"") for name in names) == frozenset(names[:-1])
