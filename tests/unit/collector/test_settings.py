import pytest
from pydantic import ValidationError

from meshwise.collector.settings import CollectorSettings


def test_every_setting_is_described() -> None:
    """The reference page is made from descriptions, so none may be missing."""
    assert [name for name, field in CollectorSettings.model_fields.items() if not field.description] == []


def test_unknown_settings_are_errors() -> None:
    """A misspelt key does not silently keep a default."""
    with pytest.raises(ValidationError, match="flush_intervall_s"):
        CollectorSettings(flush_intervall_s=1)  # type: ignore[call-arg]


def test_defaults_are_those_of_otlp() -> None:
    """The registered ports, and requests of up to 64 MiB."""
    settings = CollectorSettings()
    assert (settings.grpc_port, settings.http_port, settings.max_body_bytes) == (4317, 4318, 64 * 2**20)
