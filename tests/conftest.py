"""Configures Django once for the whole run, and says which engines and servers it uses."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402  (the settings module is named above)

django.setup()
