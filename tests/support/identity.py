"""Identities for tests: an authority of our own, and proxies that hold its certificates.

pki = Pki(tmp_path)
async with secured(pki.identity("catalog"), app_port=app.port) as callee:
    context = pki.client("frontend")
"""

from __future__ import annotations

import contextlib
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshwise.contracts.snapshot import Endpoint, Snapshot
from meshwise.control.identity.authority import create_authority
from meshwise.proxy.identity.credentials import Credentials, CredentialsFile, read_credentials
from meshwise.proxy.identity.requests import new_key
from meshwise.proxy.proxy import Proxy
from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.testing import ListRecorder
from support.data_path import Mesh

NOW = time.time()


class Pki:
    """An authority, and identities that it issues into files below ``directory``."""

    def __init__(self, directory: Path, trust_domain: str = "mesh.local") -> None:
        self.directory = directory
        self.authority, key_pem = create_authority(trust_domain, time.time() - 7200.0, 86_400.0)
        key = serialization.load_pem_private_key(key_pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key = key
        self._numbers = itertools.count()

    def identity(self, service: str, *, issued: float | None = None, life_s: float = 600.0) -> Credentials:
        """Return an identity of ``service``, issued now."""
        new = new_key()
        key = x509.load_pem_x509_csr(new.csr.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        leaf = self.authority.issue(service, key, time.time() if issued is None else issued, life_s)
        return read_credentials(new.key_pem, leaf.pem, self.authority.bundle, service)

    def file(self, credentials: Credentials) -> Path:
        """Keep credentials in a file of their own."""
        path = self.directory / f"{next(self._numbers)}.pem"
        CredentialsFile(path).store(credentials)
        return path

    def client(self, credentials: Credentials | None) -> ssl.SSLContext:
        """Return the context of a client that shows ``credentials`` and takes whatever it meets."""
        return lenient(None if credentials is None else self.file(credentials))

    def server(self) -> Path:
        """Return key and certificate of a server on this machine."""
        return self.forged(names=[x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])

    def forged(
        self, *uris: str, ca: bool = False, common_name: str = "", names: Sequence[x509.GeneralName] = ()
    ) -> Path:
        """Return key and certificate with these names, signed by the authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [*names, *(x509.UniformResourceIdentifier(uri) for uri in uris)] or [x509.DNSName("catalog")]
        issued = self.authority.certificate
        subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(issued.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(issued.not_valid_before_utc)
            .not_valid_after(issued.not_valid_after_utc)
            .add_extension(x509.SubjectAlternativeName(names), critical=not common_name)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.directory / f"{next(self._numbers)}.pem"
        path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        return path


def lenient(file: Path | None) -> ssl.SSLContext:
    """Return the context of a client that shows what ``file`` holds and takes whatever it meets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if file is not None:
        context.load_cert_chain(file)
    return context


@contextlib.asynccontextmanager
async def secured(
    pki: Pki, credentials: Credentials | None, *, mode: str = "strict", app_port: int | None = None, **settings: Any
) -> AsyncIterator[Mesh]:
    """A proxy that holds ``credentials``; with ``app_port`` it has an inbound side."""
    recorder = ListRecorder()
    chosen: dict[str, Any] = {
        "service": "frontend" if credentials is None else credentials.service,
        "outbound_port": 0,
        "inbound_port": 0,
        "app_port": app_port,
        "drain_delay_s": 0.0,
        "drain_timeout_s": 1.0,
        "identity": mode,
        "identity_dir": pki.directory,
        "control_url": "http://127.0.0.1:1",
        **settings,
    }
    proxy = Proxy(ProxySettings(**chosen), recorder)
    if credentials is not None and proxy.tls is not None:
        proxy.tls.use(credentials, pki.file(credentials))
    await proxy.start()
    try:
        yield Mesh(proxy, recorder)
    finally:
        await proxy.stop()


def pointing(service: str, port: int, tls: str, *, source: str = "frontend") -> Snapshot:
    """A snapshot for ``source`` with one endpoint of ``service``."""
    return Snapshot(1, source, {service: (Endpoint(f"{service}-1", "127.0.0.1", port, "", tls),)}, ())  # type: ignore[arg-type]
