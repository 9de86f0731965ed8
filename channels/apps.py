"""The Django app: its label, and what happens when it is ready."""

from django.apps import AppConfig

from channels import checks

__all__ = ["ChannelsConfig"]


class ChannelsConfig(AppConfig):
    """The app ``channels``."""

    name = "channels"
    label = "channels"
    verbose_name = "Channels"

    def ready(self) -> None:
        """Register the system checks."""
        checks.register()
