"""How the proxy's data path was built: compiled, or plain Python and why."""

from __future__ import annotations

import importlib.util
from importlib import resources

MODULE = "meshwise.proxy.dispatch"
"""A module that a compiled wheel has compiled."""


def data_path() -> str:
    """Return in a few words what a request passes through in this installation."""
    found = importlib.util.find_spec(MODULE)
    if found is not None and found.origin is not None and not found.origin.endswith(".py"):
        return "compiled"
    try:
        why = resources.files("meshwise.proxy").joinpath("built.txt").read_text(encoding="utf-8").strip()
    except OSError:
        why = "the working copy is installed"
    return f"plain Python: {why}"
