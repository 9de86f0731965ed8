"""``manage.py runworker``: a process that runs consumers (Channels documentation, Deploying).

The worker is ``channels.worker``; this command reads the options and says what it does.
"""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.asgi import ChannelLayerWrapper
from channels.log import setup_logger
from channels.management.consumers import http_consumer, serves_static
from channels.management.options import (
    add_layer_option,
    add_option,
    add_ready_file_option,
    add_threads_option,
    readiness_of,
    shared_layer,
    threads_of,
)
from channels.message import Message
from channels.signals import worker_process_ready
from channels.worker import Worker, WorkerGroup

__all__ = ["Command"]


class Command(BaseCommand):
    """Runs one worker, or a group of them with ``--threads``, until SIGTERM or SIGINT."""

    help = "Runs the consumers of a channel layer's messages."
    leave_locale_alone = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's own options."""
        super().add_arguments(parser)
        add_layer_option(parser)
        add_option(
            parser,
            "--only-channels",
            action="append",
            metavar="GLOB",
            help="Listen only on channels that match GLOB, such as 'http.*'; may be repeated.",
        )
        add_option(
            parser,
            "--exclude-channels",
            action="append",
            metavar="GLOB",
            help="Do not listen on channels that match GLOB; may be repeated.",
        )
        add_threads_option(parser, "consumers that run at a time")
        add_ready_file_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the worker. Raises ``CommandError`` for options that cannot work."""
        self.logger = setup_logger("django.channels", options["verbosity"])
        readiness = readiness_of(options)
        layer = shared_layer(options["layer"])
        layer.router.check_default(http_consumer=http_consumer(serves_static()))
        worker = self.make_worker(layer, options)
        try:
            channels = worker.channels()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        self.logger.info("Using %d thread(s) on channel layer %s", options["threads"], layer)
        self.logger.info("Listening on channels %s", ", ".join(channels))
        worker_process_ready.send(sender=worker)
        worker.ready()
        with readiness as worker.readiness:
            worker.run()
        self.logger.info("The worker has stopped.")

    def make_worker(self, layer: ChannelLayerWrapper, options: dict[str, Any]) -> Worker:
        """The worker that the options ask for, not yet running."""
        threads = threads_of(options)
        arguments: dict[str, Any] = {
            "channel_layer": layer,
            "callback": self.log_message if options["verbosity"] > 1 else None,
            "only_channels": options["only_channels"],
            "exclude_channels": options["exclude_channels"],
        }
        if threads == 1:
            return Worker(**arguments)
        return WorkerGroup(**arguments, n_threads=threads)

    def log_message(self, channel: str, message: Message) -> None:
        """Log that a consumer is run; only with ``-v 2``."""
        self.logger.log(logging.DEBUG, "%s", channel)
