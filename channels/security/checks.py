"""The system checks of the settings by which origins are checked.

Without them a wrong value is found by the first socket that is opened, and refuses them all.
"""

from collections.abc import Callable, Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from channels.security.websockets import default_validator, trusted_origins

__all__ = ["check_origin_settings", "register"]


def register() -> None:
    """Have Django run the check; called once by the app's ``ready``."""
    checks.register(check_origin_settings, "channels")


def check_origin_settings(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[checks.CheckMessage]:
    """E007, E008: ``CHANNELS_ORIGIN_CHECK`` or ``CHANNELS_TRUSTED_ORIGINS`` cannot be used."""
    if not getattr(settings, "CHANNEL_LAYERS", None):
        return []
    return [
        *_errors(default_validator, "Set it to True to compare with ALLOWED_HOSTS.", "E007"),
        *_errors(
            trusted_origins, "Correct it, or leave it out to trust all allowed hosts.", "E008"
        ),
    ]


def _errors(read: Callable[[], object], hint: str, number: str) -> list[checks.CheckMessage]:
    try:
        read()
    except ImproperlyConfigured as error:
        return [checks.Error(f"{error}.", hint=hint, id=f"channels.{number}")]
    return []
