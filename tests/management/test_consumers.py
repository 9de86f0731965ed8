"""Tests of which consumer answers the HTTP requests that no route takes."""

import pytest
from django.test import modify_settings, override_settings

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
def test_static_files_are_served_as_by_djangos_runserver(debug, wanted, insecure, expected):
    with override_settings(DEBUG=debug):
        assert serves_static(wanted, insecure) is expected


@override_settings(DEBUG=True)
@modify_settings(INSTALLED_APPS={"remove": "django.contrib.staticfiles"})
def test_without_the_app_there_are_no_static_files():
    assert serves_static() is False


def test_the_consumer_follows():
    assert isinstance(http_consumer(static=True), StaticFilesConsumer)
    assert type(http_consumer(static=False)) is ViewConsumer
