from __future__ import annotations

import importlib
import sys

import pytest

from meshwise.cli.rooms import ROOMS
from meshwise.contracts.errors import ConfigError


def test_every_room_has_settings_and_an_entry() -> None:
    """The convention holds in every room: one settings model, one ``run``."""
    for room in ROOMS.values():
        assert room.load_settings_type().model_config["frozen"] is True
        assert room.load_settings_type().model_config["extra"] == "forbid"
        assert all(field.description for field in room.load_settings_type().model_fields.values())
        assert callable(importlib.import_module(f"meshwise.{room.name}.main").run)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dependency that is not installed gives the line to type, not a traceback."""

    def without_dash(name: str) -> object:
        raise ModuleNotFoundError("No module named 'dash'", name="dash")

    settings = ROOMS["dashboard"].load_settings_type()()
    monkeypatch.setattr(importlib, "import_module", without_dash)
    with pytest.raises(ConfigError, match=r"dashboard needs dash.*pip install 'meshwise\[dashboard\]'"):
        ROOMS["dashboard"].call(settings)


def test_help_imports_no_room() -> None:
    """The command tree is built without the weight of any room."""
    import subprocess

    script = (
        "import sys; from meshwise.cli.app import create_app; create_app();"
        "print([m for m in ('chdb', 'pandas', 'dash', 'fastapi', 'sqlalchemy', 'sklearn', 'numpy', 'uvicorn') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
