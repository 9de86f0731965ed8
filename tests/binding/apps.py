"""The app of the bound models."""

from django.apps import AppConfig


class BoundConfig(AppConfig):
    name = "tests.binding"
    label = "bound"
    default_auto_field = "django.db.models.BigAutoField"
