import re

import pytest

from meshwise.contracts import envoy_spans


@pytest.mark.parametrize(
    ("cluster", "service"),
    [
        ("catalog", "catalog"),
        ("outbound|80||catalog.shop.svc.cluster.local", "catalog.shop"),
        ("outbound|80|v2|catalog.shop.svc.cluster.local;", "catalog.shop"),
        ("outbound|443||api.example.com", "api.example.com"),
        ("httproute/shop/catalog/rule/0", "httproute/shop/catalog/rule/0"),
        ("inbound|8080||", ""),
        ("inbound|8080||;", ""),
        ("", ""),
    ],
)
def test_service_of_a_cluster(cluster: str, service: str) -> None:
    """A cluster's name is the service's, or holds it as Istio writes it; that of an own application names nobody."""
    found = re.fullmatch(envoy_spans.SERVICE_OF_CLUSTER, cluster)
    assert found is not None
    assert found[1] == service


def test_a_flag_means_one_thing() -> None:
    """No response flag is in two groups."""
    groups = [
        envoy_spans.CUT_OFF,
        envoy_spans.NOT_CONNECTED,
        envoy_spans.BROKEN,
        envoy_spans.TURNED_AWAY,
        envoy_spans.CALLER_GONE,
        envoy_spans.NOT_SENT,
    ]
    flags = [flag for group in groups for flag in group]
    assert len(flags) == len(set(flags))
