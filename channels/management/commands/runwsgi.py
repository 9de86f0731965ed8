"""``manage.py runwsgi``: a worker that has a WSGI application answer the requests of a layer.

The application is called by ``channels.handler.wsgi``; the worker is ``channels.worker``.
"""

import importlib
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import ChannelLayerWrapper
from channels.handler.wsgi import WSGIApplication, WSGIConsumer
from channels.log import setup_logger
from channels.management.options import (
    add_layer_option,
    add_ready_file_option,
    add_threads_option,
    readiness_of,
    shared_layer,
    threads_of,
)
from channels.routing import route
from channels.signals import worker_process_ready
from channels.spec import HTTP_REQUEST
from channels.worker import Worker, WorkerGroup

__all__ = ["Command", "load_application", "make_worker"]


class Command(BaseCommand):
    """Listens on ``http.request`` alone, until SIGTERM or SIGINT."""

    help = "Answers the requests of a channel layer by a WSGI application."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        parser.add_argument(
            "application",
            nargs="?",
            metavar="MODULE:APPLICATION",
            help="The WSGI application, such as shop.wsgi:application "
            "(default: the setting WSGI_APPLICATION).",
        )
        add_layer_option(parser)
        add_threads_option(parser, "requests that are answered at a time")
        add_ready_file_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the worker. Raises ``CommandError`` for arguments that cannot work."""
        logger = setup_logger("django.channels", options["verbosity"])
        threads = threads_of(options)
        readiness = readiness_of(options)
        path = options["application"] or getattr(settings, "WSGI_APPLICATION", None)
        layer = shared_layer(options["layer"])
        worker = make_worker(layer, load_application(path), threads)
        logger.info("Serving %s with %d thread(s) on channel layer %s", path, threads, layer)
        worker_process_ready.send(sender=worker)
        worker.ready()
        with readiness as worker.readiness:
            worker.run()
        logger.info("The worker has stopped.")


def make_worker(layer: ChannelLayerWrapper, application: WSGIApplication, threads: int) -> Worker:
    """A worker, not yet running, whose only consumer is ``application``."""
    consumer = WSGIConsumer(application, multithread=threads > 1)
    routed = ChannelLayerWrapper(layer.channel_layer, layer.alias, [route(HTTP_REQUEST, consumer)])
    return Worker(routed) if threads == 1 else WorkerGroup(routed, n_threads=threads)


def load_application(path: str | None) -> WSGIApplication:
    """The object at ``path``, written ``module:name`` or ``module.name``.

    Raises ``CommandError`` where there is none, or it cannot be called.
    """
    if not path:
        raise CommandError(
            "There is no application: name one as MODULE:APPLICATION, or add WSGI_APPLICATION to "
            "the settings."
        )
    module, _, names = path.partition(":") if ":" in path else path.rpartition(".")
    if module.startswith("."):
        raise CommandError(
            f"Cannot load the application {path!r}: nothing says what it is relative to; name the "
            "module from the top, as in shop.wsgi:application."
        )
    try:
        found = importlib.import_module(module) if module else None
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"Cannot load the application {path!r}: {error}.") from error
    if not callable(found):
        raise CommandError(f"{path!r} is no WSGI application, but {found!r}.")
    application: WSGIApplication = found
    return application
