"""Tests of which consumer answers the HTTP requests that no route takes."""

import pytest

from channels.handler import ViewConsumer
from channels.management.consumers import http_consumer, serves_static
from channels.staticfiles import StaticFilesConsumer


@pytest.mark.parametrize(
    ("debug", "wanted", "insecure", "expected"),
    [
        (True, True, False, True),
        (True, False, False, False),
        (True, False, True, False),
        (False, True, False, False),
        (False, True, True, True),
    ],
)
def test_static_files_are_served_as_by_djangos_runserver(
    settings, debug, wanted, insecure, expected
):
    settings.DEBUG = debug

    assert serves_static(wanted, insecure) is expected


def test_without_the_app_there_are_no_static_files(settings):
    settings.DEBUG = True
    settings.INSTALLED_APPS = [
        app for app in settings.INSTALLED_APPS if app != "django.contrib.staticfiles"
    ]

    assert serves_static() is False


def test_the_consumer_follows():
    assert isinstance(http_consumer(static=True), StaticFilesConsumer)
    assert type(http_consumer(static=False)) is ViewConsumer
