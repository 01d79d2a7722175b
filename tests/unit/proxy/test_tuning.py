"""What the process is allowed, and what a proxy makes of it."""

import resource

import pytest

from meshwise.proxy.settings import ProxySettings
from meshwise.proxy.tuning import within_descriptors


@pytest.mark.parametrize(
    ("allowed", "app_port", "most", "asked"),
    [
        ((1024, 4096), None, 2048, 4096),
        ((1024, 4096), 80, 1024, 4096),
        ((4096, 4096), 80, 1024, None),
        ((1024, resource.RLIM_INFINITY), 80, 10_000, 1_048_576),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 80, 10_000, None),
        ((50_000, 50_000), None, 10_000, None),
    ],
)
def test_connections_fit_into_half_of_the_open_files(
    monkeypatch: pytest.MonkeyPatch, allowed: tuple[int, int], app_port: int | None, most: int, asked: int | None
) -> None:
    """The limit is raised as far as it may be; what still does not fit is not taken on."""
    raised: list[int] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: allowed)
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits[0]))
    settings = within_descriptors(ProxySettings(service="a", app_port=app_port))
    assert settings.max_connections == most
    assert raised == ([] if asked is None else [asked])
