"""The Django app of delayed messages."""

from django.apps import AppConfig

__all__ = ["DelayConfig"]


class DelayConfig(AppConfig):
    """The app ``channels.delay``; Django takes no label with a dot."""

    name = "channels.delay"
    label = "channels_delay"
    verbose_name = "Delayed messages"
