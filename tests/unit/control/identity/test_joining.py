"""Tokens, signing requests and renewals: what is certified, and what is refused."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from meshwise.contracts.errors import ConfigError, DocumentError
from meshwise.control.errors import ForbiddenError
from meshwise.control.identity import joining
from meshwise.control.identity.authority import Authority, create_authority, open_authority
from meshwise.control.identity.requests import read_csr, read_renewal
from meshwise.control.storage import Storage, open_storage
from meshwise.proxy.identity.credentials import Credentials, read_credentials
from meshwise.proxy.identity.requests import NewKey, new_key, renewal_body

NOW = 1_800_000_000.0
LIFE = 1000.0


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty database."""
    return open_storage("", tmp_path, NOW)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority of mesh.local."""
    return create_authority("mesh.local", NOW, 1e7)[0]


def token_of(storage: Storage, service: str = "cart") -> str:
    """Give out a token that holds for ten minutes."""
    with storage.write() as tx:
        return joining.create_token(tx, service, now=NOW, life_s=600.0, by="ann").token


def join(storage: Storage, authority: Authority, token: str, now: float = NOW) -> str:
    """Take a token and return the certificate's PEM."""
    with storage.write() as tx:
        return joining.first_certificate(tx, authority, token, read_csr(new_key().csr), now=now, life_s=LIFE).pem


def credentials(authority: Authority, service: str = "cart", now: float = NOW) -> Credentials:
    """Return an identity."""
    new = new_key()
    leaf = authority.issue(service, read_csr(new.csr), now, LIFE)
    return read_credentials(new.key_pem, leaf.pem, authority.bundle, service)


def renew(authority: Authority, present: Credentials, new: NewKey, now: float = NOW, **changes: object) -> str:
    """Ask for a renewal and return the service it is granted to."""
    said = {**renewal_body(new, present, NOW), **changes}
    return read_renewal(authority, now=now, **said)


def test_a_certificate_names_the_tokens_service_alone(storage: Storage, authority: Authority) -> None:
    """The one name is the token's service; it holds from a minute ago for the life asked for, and signs nothing."""
    certificate = x509.load_pem_x509_certificate(join(storage, authority, token_of(storage)).encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://mesh.local/cart")]
    assert not list(certificate.subject)
    assert certificate.not_valid_before_utc.timestamp() == NOW - 60.0
    assert certificate.not_valid_after_utc.timestamp() == NOW + LIFE
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_token_works_once(storage: Storage, authority: Authority) -> None:
    """The second use of a token is refused, and on the audit trail."""
    token = token_of(storage)
    join(storage, authority, token)
    with pytest.raises(ForbiddenError):
        join(storage, authority, token)
    with storage.write() as tx:
        joining.why_refused(tx, token, now=NOW)
    with storage.read() as tx:
        actions = [entry.action for entry in tx.audit_entries(10)]
    assert actions == ["certificate.refuse", "certificate.issue", "join-token.create"]


def test_a_token_is_over_after_its_time(storage: Storage, authority: Authority) -> None:
    """A token works to its last moment and not at its end; one that was never given out never works."""
    join(storage, authority, token_of(storage), now=NOW + 599.9)
    with pytest.raises(ForbiddenError):
        join(storage, authority, token_of(storage), now=NOW + 600.0)
    with pytest.raises(ForbiddenError):
        join(storage, authority, "mwjoin_guessed")


def test_the_token_itself_is_not_kept(storage: Storage, tmp_path: Path) -> None:
    """The database holds a token's hash, not the token."""
    token = token_of(storage)
    storage.close()
    assert all(token.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def csr_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *names: str) -> str:
    """Return a signing request that asks for names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_names_in_a_signing_request_are_ignored(authority: Authority) -> None:
    """A request that asks for another service, and for several, is certified for the service it was given."""
    csr = csr_of(ec.generate_private_key(ec.SECP256R1()), "spiffe://mesh.local/payment", "spiffe://mesh.local/admin")
    leaf = x509.load_pem_x509_certificate(authority.issue("cart", read_csr(csr), NOW, LIFE).pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://mesh.local/cart")]


def test_weak_large_and_broken_requests_are_refused() -> None:
    """Small curves, RSA, a megabyte, rubbish and a request signed by another key are refused by name of the field."""
    good = csr_of(ec.generate_private_key(ec.SECP256R1()))
    lines = good.splitlines()
    middle = len(lines) - 2
    forged = [
        *lines[:middle],
        lines[middle][:4] + ("AAAA" if lines[middle][4:8] != "AAAA" else "BBBB") + lines[middle][8:],
    ]
    bad = [
        csr_of(rsa.generate_private_key(65537, 1024)),
        csr_of(ec.generate_private_key(ec.SECP224R1())),
        good + " " * 20_000,
        "rubbish",
        "é",
        "\n".join([*forged, *lines[middle + 1 :]]),
    ]
    for csr in bad:
        with pytest.raises(DocumentError) as caught:
            read_csr(csr)
        assert caught.value.path == "csr"


def test_renewal_proves_possession(authority: Authority) -> None:
    """A valid certificate and its key's signature renew the same service; anything less does not."""
    present, new = credentials(authority), new_key()
    assert renew(authority, present, new) == "cart"
    other = credentials(authority, "payment")
    stranger = credentials(create_authority("mesh.local", NOW, 1e7)[0])
    for changes in (
        {"certificate": other.certificate_pem},
        {"csr": new_key().csr},
        {"timestamp": int(NOW) + 1},
        {"signature": "AAAA"},
        {"signature": "not base64"},
        {"certificate": stranger.certificate_pem},
        {"certificate": authority.bundle},
    ):
        with pytest.raises((ForbiddenError, DocumentError)):
            renew(authority, present, new, **changes)
    with pytest.raises(ForbiddenError):
        renew(authority, stranger, new)
    with pytest.raises(ForbiddenError, match="clock"):
        renew(authority, present, new, now=NOW + 61.0)
    with pytest.raises(ForbiddenError, match="not valid now"):
        renew(authority, present, new, now=NOW + LIFE)


def test_the_authority_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """The second start finds the same authority, whose key only its owner reads."""
    first = open_authority(tmp_path, "mesh.local", NOW, 1e7)
    assert open_authority(tmp_path, "mesh.local", NOW, 1e7).bundle == first.bundle
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_an_authority_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Another trust domain, another key and a broken file are one clear line each, never a new authority."""
    open_authority(tmp_path, "mesh.local", NOW, 1e7)
    with pytest.raises(ConfigError, match="trust_domain"):
        open_authority(tmp_path, "other.local", NOW, 1e7)
    (tmp_path / "ca.key").write_bytes(create_authority("mesh.local", NOW, 1e7)[1])
    with pytest.raises(ConfigError, match="not the key"):
        open_authority(tmp_path, "mesh.local", NOW, 1e7)
    (tmp_path / "ca.pem").write_text("rubbish")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_authority(tmp_path, "mesh.local", NOW, 1e7)
