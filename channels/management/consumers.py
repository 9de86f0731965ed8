"""Which consumer answers HTTP requests that the project's own routing has none for."""

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings

from channels.handler import ViewConsumer
from channels.staticfiles import StaticFilesConsumer

__all__ = ["http_consumer", "serves_static"]


def serves_static(wanted: bool = True, insecure: bool = False) -> bool:
    """Whether static files are served, as Django's runserver decides it.

    They are if ``wanted``, with the staticfiles app installed, and with DEBUG or ``insecure``.
    """
    installed = apps.is_installed("django.contrib.staticfiles")
    return wanted and installed and (settings.DEBUG or insecure)


def http_consumer(static: bool) -> Callable[..., Any]:
    """The consumer that runs Django's views; with ``static`` it serves STATIC_URL itself."""
    consumer: Callable[..., Any] = StaticFilesConsumer() if static else ViewConsumer()
    return consumer
