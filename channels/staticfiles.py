"""Static files for development, as ``django.contrib.staticfiles`` serves them.

What lies under ``STATIC_URL`` is found by the staticfiles finders, without ``DEBUG`` too;
everything else goes to the views. ``runserver`` uses the consumer; a deployment has a web server
for this.
"""

from typing import Any
from urllib.parse import urlparse

from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.contrib.staticfiles.views import serve
from django.core.handlers.exception import response_for_exception

from channels.handler import AsgiHandler, ViewConsumer

__all__ = ["StaticFilesConsumer", "StaticFilesHandler"]


class StaticFilesHandler(StaticFilesHandlerMixin, AsgiHandler):
    """An ``AsgiHandler`` that serves the files under ``STATIC_URL`` itself."""

    def __init__(self) -> None:
        self.base_url = urlparse(self.get_base_url())
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        """Load it: unlike Django's, this handler runs the views itself."""
        AsgiHandler.load_middleware(self, is_async)

    def get_response(self, request: Any) -> Any:
        """The file, or its 404 page; for other paths, the view's response."""
        if self._static_path(request) is None:
            return AsgiHandler.get_response(self, request)
        try:
            response = self.serve(request)
        except Exception as error:  # Http404, or a path that leads out of the directory, say
            response = response_for_exception(request, error)
        response._resource_closers.append(request.close)
        return response

    def serve(self, request: Any) -> Any:
        """The response for a path under ``STATIC_URL``; raises ``Http404``."""
        return serve(request, self.file_path(str(self._static_path(request))), insecure=True)

    def _static_path(self, request: Any) -> str | None:
        """The path that lies under ``STATIC_URL``, which may hold the script's prefix or not."""
        for path in (request.path_info, request.path):
            if self._should_handle(path):
                return str(path)
        return None


class StaticFilesConsumer(ViewConsumer):
    """A ``ViewConsumer`` that serves static files as well."""

    handler_class = StaticFilesHandler
