from importlib import import_module

from django.apps import AppConfig


class ValuesConfig(AppConfig):
    name = "values"

    def ready(self) -> None:
        """Have changes told, whichever process makes them."""
        import_module("values.binding")
