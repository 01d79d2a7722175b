"""Who speaks: the OpenTelemetry resource of this proxy."""

from __future__ import annotations

from collections.abc import Mapping

from meshwise.proxy.telemetry.wire import AttributeValue


def complete_resource(own: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """Return ``own`` with what the SDK and ``OTEL_RESOURCE_ATTRIBUTES`` add; ``own`` wins.

    Slow the first time (it imports the SDK, about a third of a second), so it runs in a thread after the listeners are
    up.
    """
    from opentelemetry.sdk.resources import Resource

    # SERVICE_NAME of our own is passed in, so the SDK's "unknown_service" never shows.
    found = Resource.create({name: value for name, value in own.items() if not isinstance(value, bytes)})
    merged: dict[str, AttributeValue] = {}
    for name, value in found.attributes.items():
        merged[name] = value if isinstance(value, (str, bool, int, float)) else str(value)
    return {**merged, **own}
