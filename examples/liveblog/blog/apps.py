from importlib import import_module

from django.apps import AppConfig


class BlogConfig(AppConfig):
    name = "blog"

    def ready(self) -> None:
        """Have saved and deleted posts told to the readers."""
        import_module("blog.updates")
