"""The Django app: its label, and what happens when it is ready."""

from django.apps import AppConfig

from channels import checks
from channels.binding.base import BindingMetaclass
from channels.security import checks as security_checks

__all__ = ["ChannelsConfig"]


class ChannelsConfig(AppConfig):
    """The app ``channels``."""

    name = "channels"
    label = "channels"
    verbose_name = "Channels"

    def ready(self) -> None:
        """Register the system checks, and the bindings that the apps have defined."""
        checks.register()
        security_checks.register()
        BindingMetaclass.register_all()
