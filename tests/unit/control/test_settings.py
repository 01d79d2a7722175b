from meshwise.control.settings import ControlSettings


def test_secrets_do_not_show_in_the_settings_text() -> None:
    """Logging the settings leaks neither token nor database password."""
    text = repr(ControlSettings(token="s3cret" * 4, database_url="postgresql://u:s3cret@h/d"))
    assert "s3cret" not in text
