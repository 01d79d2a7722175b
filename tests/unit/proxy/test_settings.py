"""What an operator may write."""

import pytest
from pydantic import ValidationError

from meshwise.proxy.dispatch import limits_of
from meshwise.proxy.http1.limits import Limits
from meshwise.proxy.settings import ProxySettings


def test_every_setting_is_described() -> None:
    """The generated reference has a sentence for each."""
    assert all(field.description for field in ProxySettings.model_fields.values())


def test_defaults_agree_with_the_readers() -> None:
    """The readers' own defaults are the settings' defaults."""
    assert limits_of(ProxySettings(service="a")) == Limits()


@pytest.mark.parametrize(
    "wrong",
    [
        {"service": "Not A Name"},
        {"instance_id": "A B"},
        {"control_url": "ftp://x"},
        {"trace_ratio": 2},
        {"labels": {"a b": "c"}},
        {"colour": 1},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    """Bad names, schemes, ranges and unknown keys are errors."""
    with pytest.raises(ValidationError):
        ProxySettings.model_validate({"service": "a", **wrong})


@pytest.mark.parametrize("services", [{"Db": 5432}, {"db": -1}, {"db": 70_000}, {"db": 5432, "other": 5432}])
def test_tcp_services_are_services_with_ports_of_their_own(services: dict[str, int]) -> None:
    """A name that is no service, a port that is none, or one port for two services is refused."""
    with pytest.raises(ValidationError):
        ProxySettings(service="frontend", tcp_services=services)
    assert ProxySettings(service="a", tcp_services={"db": 0, "other": 0}).tcp_services == {"db": 0, "other": 0}
