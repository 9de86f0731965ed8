"""A backend and logged-in sessions for the tests of users."""

from types import SimpleNamespace
from typing import Any

from django.contrib import auth
from django.contrib.sessions.backends.base import SessionBase

from tests.sessions.sockets import browser_session

__all__ = ["OtherBackend", "log_in"]


class OtherBackend:
    """A backend beside Django's own; says on each user that it was the one."""

    def authenticate(self, request: Any, **credentials: Any) -> None:
        return None

    def get_user(self, user_id: Any) -> Any:
        user = auth.get_user_model()._default_manager.filter(pk=user_id).first()
        if user is not None:
            user.found_by = "OtherBackend"
        return user


def log_in(user: Any, backend: str = "django.contrib.auth.backends.ModelBackend") -> SessionBase:
    """The stored session of a browser in which ``user`` has logged in."""
    session = browser_session()
    request: Any = SimpleNamespace(session=session, META={})
    auth.login(request, user, backend)
    session.save()
    return session
