"""Hypothesis settings for a shared machine: a property holds or does not, however long an example takes.

@settings(UNTIMED, max_examples=25)
@given(...)
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
