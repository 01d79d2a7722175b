"""Policies in the words of other meshes, for services that have no proxy of ours. Pure functions.

    envoy    a configuration that Envoy takes whole: a listener with the route, and the cluster
    istio    a VirtualService and a DestinationRule

What a dialect has no word for is not left out silently: each ``Export`` carries a note per field, and ``to_yaml``
writes them as comments above the documents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from meshwise.contracts.policy import Policy
from meshwise.control.dialects.envoy import export_envoy
from meshwise.control.dialects.export import Export
from meshwise.control.dialects.istio import export_istio

DIALECTS: Final[Mapping[str, Callable[[Policy], Export]]] = {"envoy": export_envoy, "istio": export_istio}

__all__ = ["DIALECTS", "Export", "export_envoy", "export_istio"]
