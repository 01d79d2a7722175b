import pytest
from pydantic import ValidationError

from meshwise.contracts.snapshot import MAX_PATIENCE_S
from meshwise.control.settings import ControlSettings


def test_secrets_do_not_show_in_the_settings_text() -> None:
    """Logging the settings leaks neither token nor database password."""
    text = repr(ControlSettings(token="s3cret" * 4, database_url="postgresql://u:s3cret@h/d"))
    assert "s3cret" not in text


def test_patience_with_trials_outlasts_a_few_heartbeats() -> None:
    """Or trials would end by themselves between two of them."""
    assert ControlSettings(heartbeat_s=10.0).trial_patience_s == 30.0
    with pytest.raises(ValidationError, match="60 or more: three times heartbeat_s"):
        ControlSettings(heartbeat_s=20.0)
    with pytest.raises(ValidationError):
        ControlSettings(trial_patience_s=MAX_PATIENCE_S + 1.0)
