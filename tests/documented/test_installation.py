"""The sample of the chapter Installation."""

from django.core.management import get_commands
from django.test import override_settings

#: What stands where the sample has dots. Not staticfiles, which has a runserver of its own: of two
#: the app that is listed first gives the command.
FURTHER_APPS = ["django.contrib.messages", "tests.accounts"]


def test_installed_apps(sample, project):
    names = project.module("myproject.settings", sample).INSTALLED_APPS
    dots = names.index(...)

    with override_settings(INSTALLED_APPS=[*names[:dots], *FURTHER_APPS, *names[dots + 1 :]]):
        commands = get_commands()

    assert commands["runserver"] == commands["runworker"] == "channels"
