"""The URLs of the test project, with an error handler that fails itself."""

from tests.urls import urlpatterns

__all__ = ["handler500", "urlpatterns"]


def handler500(request: object) -> None:
    """Fails."""
    raise RuntimeError("the error handler failed")
