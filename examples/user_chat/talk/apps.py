from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out

from channels.auth import close_sockets_on_logout


class TalkConfig(AppConfig):
    name = "talk"

    def ready(self) -> None:
        """Close the sockets of who logs out."""
        user_logged_out.connect(close_sockets_on_logout)
