"""The same with mutual TLS between client and proxy: our inbound side, and Envoy, each in front of the endpoint.

No load generator at hand shows a certificate, so HAProxy on the other core does it for wrk, over kept connections.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.figures import Unmeasured
from benchmarks.proxy import peers
from benchmarks.proxy.envoy import envoy_configuration
from benchmarks.proxy.peers import Backing, Launch
from benchmarks.proxy.servers import free_port
from meshwise.control.identity.authority import create_authority
from meshwise.proxy.identity.credentials import CredentialsFile, read_credentials
from meshwise.proxy.identity.requests import new_key

LIFE_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Identities:
    """Files: an authority's certificate, and key with certificate of the two services."""

    authority: Path
    catalog: Path
    frontend: Path


def identities(directory: Path) -> Identities:
    """Make an authority and let it issue both identities, in the files that proxies keep theirs in."""
    authority, _ = create_authority("mesh.local", time.time() - 3600.0, LIFE_S)
    files = {}
    for service in ("catalog", "frontend"):
        new = new_key()
        key = x509.load_pem_x509_csr(new.csr.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        leaf = authority.issue(service, key, time.time(), LIFE_S)
        files[service] = directory / "identities" / f"{service}.pem"
        CredentialsFile(files[service]).store(read_credentials(new.key_pem, leaf.pem, authority.bundle, service))
    bundle = directory / "authority.pem"
    bundle.write_text(authority.bundle)
    return Identities(bundle, files["catalog"], files["frontend"])


def meshwise(backing: Backing, identity: Identities) -> Launch | Unmeasured:
    """Our inbound side, strict; it takes its identity from the disk and control for being away."""
    missing = peers.not_compiled()
    if missing is not None:
        return missing
    port = free_port()
    settings = {
        "service": "catalog",
        "inbound_port": port,
        "outbound_port": free_port(),
        "admin_port": free_port(),
        "app_port": backing.endpoint_port,
        "control_url": f"http://127.0.0.1:{free_port()}",
        "identity": "strict",
        "identity_dir": str(identity.catalog.parent),
        "collector_url": f"http://127.0.0.1:{backing.sink_port}",
    }
    path = backing.directory / "meshwise_mutual.json"
    path.write_text(json.dumps(settings))
    return Launch((str(peers.PEERS / "python"), "-m", "meshwise.proxy", str(path)), port)


def envoy(backing: Backing, identity: Identities) -> Launch | Unmeasured:
    """Envoy as in the other measurements, with TLS 1.3 that asks its callers for a certificate."""
    found = peers.PEERS / "envoy"
    if not found.exists():
        return peers.envoy(backing)
    port = free_port()
    configuration = envoy_configuration(port, backing.endpoint_port, backing.sink_port, flush_spans=512)
    chain = configuration["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["transport_socket"] = mutual_tls(identity)
    path = backing.directory / "envoy_mutual.json"
    path.write_text(json.dumps(configuration))
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return Launch((str(found), "-c", str(path), *options), port)


def mutual_tls(identity: Identities) -> dict[str, Any]:
    """Return Envoy's transport socket for what ``net.tls`` does: version 1.3, P-256, a certificate from both sides."""
    own = {"filename": str(identity.catalog)}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_3",
                    "ecdh_curves": ["P-256"],
                },
                "tls_certificates": [{"certificate_chain": own, "private_key": own}],
                "validation_context": {"trusted_ca": {"filename": str(identity.authority)}},
            },
        },
    }


def client(backing: Backing, identity: Identities, name: str, port: int) -> Launch | Unmeasured:
    """HAProxy as the client: plain connections in, mutual TLS to ``port`` out."""
    found = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        return Unmeasured("haproxy is not installed (Debian: apt-get install haproxy)")
    listen = free_port()
    path = backing.directory / f"{name}_client.cfg"
    path.write_text(_CLIENT.format(listen=listen, port=port, own=identity.frontend, authority=identity.authority))
    return Launch((found, "-db", "-f", str(path)), listen)


_CLIENT = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
frontend in
    bind 127.0.0.1:{listen} backlog 4096
    default_backend proxy
backend proxy
    http-reuse always
    default-server ssl verify required ssl-min-ver TLSv1.3 pool-max-conn 512
    server proxy 127.0.0.1:{port} ca-file {authority} crt {own}
"""
