"""A Django project to measure, set up as this module is imported; its database is SQLite in memory.

The repository becomes importable, ``tests`` and all.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.contrib import auth
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.module_loading import import_string

__all__ = ["logged_in", "queries"]

sys.path.insert(0, str(Path(__file__).parent.parent))

settings.configure(
    SECRET_KEY="measured",
    ALLOWED_HOSTS=["example.com"],
    USE_TZ=True,
    INSTALLED_APPS=[
        "channels",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()


def logged_in() -> str:
    """The key of a browser's session whose user has logged in."""
    user, _ = auth.get_user_model().objects.get_or_create(username="ada")
    session = import_string(f"{settings.SESSION_ENGINE}.SessionStore")()
    request: Any = SimpleNamespace(session=session, META={})
    auth.login(request, user, "django.contrib.auth.backends.ModelBackend")
    session.save()
    return str(session.session_key)


def queries(run: Callable[[], object]) -> int:
    """How many queries ``run`` makes; those of transactions do not count."""
    with CaptureQueriesContext(connection) as made:
        run()
    words = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    return sum(query["sql"].split()[0] in words for query in made.captured_queries)
