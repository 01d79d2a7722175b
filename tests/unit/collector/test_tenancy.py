from pathlib import Path

import pytest

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.settings import CollectorSettings
from meshwise.collector.tenancy import MESH, Certificate, Senders, certificate_of

MESH_TOKEN = "the-token-of-the-mesh"
TENANT_TOKEN = "the-token-of-tenant-a"
TENANT = {"name": "team-a", "token": TENANT_TOKEN, "attributes": {"zone": "z1"}, "services": ["cart"]}
CART = Certificate(("spiffe://mesh.local/cart",))


def senders(**settings: object) -> Senders:
    return Senders(CollectorSettings(data_dir=Path("unused"), **settings))  # type: ignore[arg-type]


def refusal(made: Senders, authorization: str, certificate: Certificate | None = None) -> str:
    with pytest.raises(RefusedError) as error:
        made.identify(authorization, certificate)
    assert error.value.reason is Reason.UNAUTHENTICATED
    return str(error.value)


def test_without_any_token_everybody_is_the_mesh() -> None:
    """What nobody configured is not asked for."""
    assert senders().identify("", None) is MESH
    assert senders().identify("Bearer whatever", None) is MESH


def test_a_token_says_who_sends() -> None:
    """The mesh's own token may say anything; a tenant's is bound to its stamps and services; others are nobody."""
    made = senders(token=MESH_TOKEN, tenants=[TENANT])
    assert made.identify(f"Bearer {MESH_TOKEN}", None) is MESH
    tenant = made.identify(f"bearer {TENANT_TOKEN}".encode(), None)
    assert tenant.attributes == (("zone", "z1"), ("meshwise.tenant", "team-a"))
    assert (tenant.name, sorted(tenant.services), tenant.proxies) == ("team-a", ["cart"], False)
    for wrong in ("", "Bearer ", f"Bearer {MESH_TOKEN} ", f"Basic {MESH_TOKEN}", MESH_TOKEN):
        refusal(made, wrong)


def test_only_tenants_means_that_nobody_else_may_send() -> None:
    """With tenants and no token of the mesh, a sender without a token is refused."""
    assert "token is required" in refusal(senders(tenants=[TENANT]), "")


def test_a_certificate_speaks_for_its_one_service(tmp_path: Path) -> None:
    """A SPIFFE name binds to that service, as its proxy; a token that comes with it decides instead."""
    made = senders(tls_client_ca=tmp_path / "ca.pem", token=MESH_TOKEN)
    sender = made.identify("", CART)
    assert (sorted(sender.services), sender.proxies, sender.attributes) == (["cart"], True, ())
    assert made.identify(f"Bearer {MESH_TOKEN}", CART) is MESH
    assert "certificate is required" in refusal(made, f"Bearer {MESH_TOKEN}")
    refusal(made, "Bearer wrong", CART)
    refusal(made, "", Certificate())
    for uris in (("spiffe://other.mesh/cart",), ("spiffe://mesh.local/",), (*CART.uris, "spiffe://mesh.local/pay")):
        assert "names no service" in refusal(made, "", Certificate(uris))
    assert senders(tls_client_ca=tmp_path / "ca.pem").identify("", Certificate()) is MESH


def test_names_of_a_certificate_are_its_uris() -> None:
    """Other kinds of names are not identities; no certificate is none."""
    found = {"subjectAltName": (("DNS", "cart"), ("URI", "spiffe://mesh.local/cart"), ("IP Address", "::1"))}
    assert certificate_of(found) == CART
    assert certificate_of({}) is None
    assert certificate_of(None) is None


@pytest.mark.parametrize(
    "tenants",
    [
        [TENANT, {**TENANT, "token": "another-token-than-that"}],
        [TENANT, {**TENANT, "name": "team-b"}],
        [{**TENANT, "token": "short"}],
        [{**TENANT, "name": "Team A"}],
        [{**TENANT, "unknown": 1}],
    ],
)
def test_tenants_that_cannot_be_told_apart_are_refused(tenants: object) -> None:
    """Names and tokens are each used once, and are what they should be."""
    with pytest.raises(ValueError, match="tenants"):
        senders(tenants=tenants)
