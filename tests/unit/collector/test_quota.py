from pathlib import Path

import pytest

from meshwise.collector.errors import Reason, RefusedError
from meshwise.collector.quota import Meter, quotas_of
from meshwise.collector.settings import CollectorSettings


def test_a_meter_gives_its_rate_and_its_burst() -> None:
    """The burst goes at once, then one a tenth of a second at ten a second; waits are exact."""
    meter = Meter(10.0, 2.0)
    taken = 0
    for step in range(101):
        now = 50.0 + step / 20
        while meter.wait(now) == 0:
            meter.spend(1.0)
            taken += 1
    assert taken == 20 + 50
    assert meter.wait(55.0) == pytest.approx(0.1)


def test_what_is_overdrawn_is_made_good_first() -> None:
    """A request far beyond the rate passes once, and everything after it waits for as long as it was worth."""
    meter = Meter(100.0, 1.0)
    assert meter.wait(0.0) == 0
    meter.spend(1000.0)
    assert meter.wait(0.0) == pytest.approx(9.01)
    assert meter.wait(9.02) == 0


def test_time_that_stands_still_or_is_not_limited_costs_nothing() -> None:
    """A rate of 0 never waits; a clock set back refills nothing and takes nothing."""
    free, meter = Meter(0.0, 5.0), Meter(1.0, 1.0)
    free.spend(1e12)
    assert free.wait(1.0) == 0
    meter.wait(10.0)
    meter.spend(1.0)
    assert meter.wait(5.0) == pytest.approx(1.0)


def quotas(**settings: object) -> CollectorSettings:
    tenants = [{"name": "a", "token": "a" * 16, "requests_per_s": 1.0}, {"name": "b", "token": "b" * 16}]
    return CollectorSettings(data_dir=Path("unused"), tenants=tenants, **settings)  # type: ignore[arg-type]


def test_each_tenant_has_figures_of_its_own() -> None:
    """A tenant's own figure goes before the one for all; the refusal names the tenant, the reason and the wait."""
    made = quotas_of(quotas(tenant_requests_per_s=2.0, tenant_bytes_per_s=10.0, tenant_burst_s=1.0))
    a, b = made.of("a"), made.of("b")
    assert a is not None
    assert b is not None
    assert made.of("mesh") is None
    a.admit(0.0)
    with pytest.raises(RefusedError, match="tenant a sends more requests a second") as refused:
        a.admit(0.0)
    assert (refused.value.reason, refused.value.retry_after_s) == (Reason.QUOTA, 1.0)
    b.admit(0.0)
    b.admit(0.0)
    b.volume.spend(30.0)
    with pytest.raises(RefusedError, match="tenant b sends more bytes a second"):
        b.admit(1.0)


def test_no_tenant_takes_the_name_of_the_mesh() -> None:
    """Its limits would be the mesh's."""
    with pytest.raises(ValueError, match="no tenant may be called mesh"):
        CollectorSettings.model_validate({"tenants": [{"name": "mesh", "token": "a" * 16}]})
