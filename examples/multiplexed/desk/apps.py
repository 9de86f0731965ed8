from importlib import import_module

from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "desk"

    def ready(self) -> None:
        """Have changes of tasks told, whichever process makes them."""
        import_module("desk.binding")
