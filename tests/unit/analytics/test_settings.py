import pytest
from pydantic import ValidationError

from meshwise.analytics.settings import AnalyticsSettings


class TestAnalyticsSettings:
    def test_defaults_stand(self) -> None:
        """Without any setting the room listens on loopback and submits nothing by itself."""
        settings = AnalyticsSettings()
        assert settings.is_loopback
        assert not settings.rollout_automatic

    @pytest.mark.parametrize(
        "webhook",
        [
            {"url": "http://hooks.example/"},
            {"url": "ftp://hooks.example/", "allow_private": True},
            {"url": "https://user:pass@hooks.example/"},
            {"url": "https:///path"},
            {"url": "https://hooks.example/", "secret": "short"},
            {"url": "https://hooks.example/", "sekret": "x"},
        ],
    )
    def test_wrong_receivers_are_refused(self, webhook: dict[str, object]) -> None:
        """Plain http, other schemes, credentials in the address, bad secrets and unknown keys are refused."""
        with pytest.raises(ValidationError):
            AnalyticsSettings.model_validate({"webhooks": [webhook]})

    def test_secrets_do_not_show(self) -> None:
        """Printing the settings shows no secret."""
        settings = AnalyticsSettings.model_validate({"token": "very-secret-token", "store_password": "pass-word"})
        assert "secret-token" not in repr(settings)
        assert "pass-word" not in repr(settings)

    def test_every_field_says_what_it_is(self) -> None:
        """Each setting has a description."""
        assert all(field.description for field in AnalyticsSettings.model_fields.values())
